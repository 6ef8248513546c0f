// The doorway to safetensors files: headers and numbers as R lists and arrays.
#include "engine/safetensors.h"

#include "r_common.h"

#include <algorithm>
#include <climits>
#include <fstream>

namespace {

using attentive::SafetensorsEntry;
using attentive::SafetensorsError;
using attentive::SafetensorsHeader;
using attentive::SafetensorsType;

// Opens `path`, in R's native encoding.
void open_binary(std::ifstream &in, const std::string &path) {
  in.open(path.c_str(), std::ios::binary);
  if (!in)
    throw SafetensorsError("the file cannot be opened");
}

Rcpp::String utf8(const std::string &text) { return Rcpp::String(text, CE_UTF8); }

Rcpp::IntegerVector r_dim(const SafetensorsEntry &entry) {
  Rcpp::IntegerVector dim(entry.shape.size());
  for (std::size_t axis = 0; axis < entry.shape.size(); ++axis) {
    if (entry.shape[axis] > INT_MAX)
      throw SafetensorsError("tensor \"" + entry.name +
                             "\" has an axis of more than 2^31 - 1, which R cannot hold");
    dim[axis] = static_cast<int>(entry.shape[axis]);
  }
  return dim;
}

// Allocation in R may fail by a jump; this turns it into an exception, so that
// the open file is closed.
SEXP allocate(SEXPTYPE type, R_xlen_t size) {
  return Rcpp::unwindProtect([=] { return Rf_allocVector(type, size); });
}

SEXP read_array(std::ifstream &in, const SafetensorsHeader &header, const SafetensorsEntry &entry) {
  const Rcpp::IntegerVector dim = r_dim(entry);
  Rcpp::NumericVector values(allocate(REALSXP, static_cast<R_xlen_t>(entry.count)));
  attentive::doorway::guarded([&] {
    attentive::read_safetensors_values(in, header, entry, values.begin(),
                                       attentive::doorway::execution(1));
  });
  if (entry.type != SafetensorsType::BOOL) {
    if (dim.size() > 0)
      values.attr("dim") = dim;
    return values;
  }
  Rcpp::LogicalVector truth(allocate(LGLSXP, values.size()));
  std::transform(values.begin(), values.end(), truth.begin(), [](double x) { return x != 0; });
  if (dim.size() > 0)
    truth.attr("dim") = dim;
  return truth;
}

} // namespace

// The names of the tensors and the metadata, without any numbers.
// [[Rcpp::export]]
Rcpp::List cpp_safetensors_header(const std::string &path) {
  std::ifstream in;
  open_binary(in, path);
  const SafetensorsHeader header = attentive::read_safetensors_header(in);

  Rcpp::CharacterVector names(header.tensors.size());
  for (std::size_t i = 0; i < header.tensors.size(); ++i)
    names[i] = utf8(header.tensors[i].name);
  Rcpp::CharacterVector metadata(header.metadata.size()), keys(header.metadata.size());
  for (std::size_t i = 0; i < header.metadata.size(); ++i) {
    keys[i] = utf8(header.metadata[i].first);
    metadata[i] = utf8(header.metadata[i].second);
  }
  metadata.names() = keys;
  return Rcpp::List::create(Rcpp::_["names"] = names, Rcpp::_["metadata"] = metadata);
}

// The arrays of the tensors with these places (from 1) in the header's order.
// [[Rcpp::export]]
Rcpp::List cpp_safetensors_arrays(const std::string &path, const Rcpp::IntegerVector &places) {
  std::ifstream in;
  open_binary(in, path);
  const SafetensorsHeader header = attentive::read_safetensors_header(in);

  Rcpp::List arrays(places.size());
  for (R_xlen_t i = 0; i < places.size(); ++i) {
    const int place = places[i];
    if (place < 1 || static_cast<std::size_t>(place) > header.tensors.size())
      throw SafetensorsError("the file changed while it was read");
    arrays[i] = read_array(in, header, header.tensors[static_cast<std::size_t>(place) - 1]);
  }
  return arrays;
}
