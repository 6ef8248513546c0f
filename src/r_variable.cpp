// Variables: R arrays <-> raw bytes of a dtype in row-major order.
#include <cstring>

#include "r_common.h"

using namespace attentive;

namespace {

template <class T> Rcpp::RawVector pack(SEXP value, const Execution &execution) {
  const Buffer<T> numbers = doorway::read_array<T>(
      value, doorway::natural_order(doorway::dims_of(value).size()), execution);
  Rcpp::RawVector out(doorway::new_vector(RAWSXP, numbers.size() * static_cast<Index>(sizeof(T))));
  if (out.size() > 0)
    std::memcpy(RAW(out), numbers.data(), static_cast<std::size_t>(out.size()));
  return out;
}

template <class T>
void unpack(SEXP raw, const Rcpp::IntegerVector &shape, double *out, const Execution &execution) {
  std::vector<Index> dims(shape.begin(), shape.end());
  if (dims.empty())
    dims.push_back(1);
  const std::vector<int> order = doorway::natural_order(dims.size());
  to_column_major(doorway::raw_numbers<T>(raw), dims.data(), static_cast<int>(dims.size()),
                  order.data(), out, execution);
}

} // namespace

// [[Rcpp::export(rng = false)]]
Rcpp::RawVector pack_numbers(SEXP value, std::string dtype) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(1);
    return dtype == "float64" ? pack<double>(value, execution) : pack<float>(value, execution);
  });
}

// [[Rcpp::export(rng = false)]]
Rcpp::NumericVector unpack_numbers(Rcpp::RawVector raw, Rcpp::IntegerVector shape,
                                   std::string dtype) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(1);
    Rcpp::NumericVector out = doorway::new_array(shape);
    const Index size = dtype == "float64" ? 8 : 4;
    if (raw.size() != out.size() * size)
      Rcpp::stop("The bytes of a variable do not fit its shape.");
    if (dtype == "float64")
      unpack<double>(raw, shape, REAL(out), execution);
    else
      unpack<float>(raw, shape, REAL(out), execution);
    return out;
  });
}
