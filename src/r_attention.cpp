// Multi-head attention: one call from R is one call into the engine.
#include "r_common.h"

#include "engine/multi_head_attention.h"
#include "engine/regularizers.h"

using namespace attentive;

namespace {

Index product(const std::vector<Index> &dims) {
  Index size = 1;
  for (Index dim : dims)
    size = checked_product(size, dim);
  return size;
}

Index as_index(SEXP x) { return static_cast<Index>(Rcpp::as<double>(x)); }

// The list that R hands over, read once: field names are those of attend.R.
struct Call {
  explicit Call(const Rcpp::List &list)
      : float64(Rcpp::as<bool>(list["float64"])), scores(Rcpp::as<int>(list["scores"])),
        attended(Rcpp::as<int>(list["attended"])), order(Rcpp::as<std::vector<int>>(list["order"])),
        output(Rcpp::as<std::vector<int>>(list["output"])),
        score_dim(Rcpp::as<std::vector<int>>(list["score_dim"])) {
    AttentionShape &a = sizes.attention;
    a.batch = as_index(list["batch"]);
    a.free = as_index(list["free"]);
    a.queries = as_index(list["queries"]);
    a.keys = as_index(list["keys"]);
    a.heads = a.groups = as_index(list["heads"]);
    a.key_size = as_index(list["key_size"]);
    a.value_size = as_index(list["value_size"]);
    sizes.output_features = 1;
    for (int size : output)
      sizes.output_features = checked_product(sizes.output_features, size);
  }

  bool float64;
  int scores; // 0 none, 1 all heads, 2 averaged over the heads
  int attended;
  std::vector<int> order, output, score_dim;
  MultiHeadSizes sizes;
};

Mask read_mask(const Rcpp::List &list, const AttentionShape &shape) {
  Mask mask;
  mask.query = doorway::raw_numbers<std::uint8_t>(list["query"]);
  mask.key = doorway::raw_numbers<std::uint8_t>(list["key"]);
  mask.causal = Rcpp::as<bool>(list["causal"]);
  mask.window = as_index(list["window"]);
  mask.free = shape.free;
  mask.queries = shape.queries;
  mask.keys = shape.keys;
  SEXP dense = list["dense"];
  if (!Rf_isNull(dense)) {
    const auto strides = Rcpp::as<std::vector<double>>(list["strides"]);
    Index *const parts[] = {&mask.dense_batch, &mask.dense_free, &mask.dense_head,
                            &mask.dense_query, &mask.dense_key};
    for (std::size_t i = 0; i < 5; ++i)
      *parts[i] = static_cast<Index>(strides[i]);
    mask.dense = doorway::raw_numbers<std::uint8_t>(dense);
  }
  return mask;
}

template <class T> Dense<const T> read_dense(const Rcpp::List &parts, const char *name) {
  if (!parts.containsElementNamed(name))
    return {};
  const Rcpp::List part = parts[name];
  SEXP kernel = part[0], bias = part[1];
  return {doorway::raw_numbers<T>(kernel), doorway::raw_numbers<T>(bias)};
}

template <class T> MultiHeadWeights<const T> read_weights(const Rcpp::List &parts) {
  return {read_dense<T>(parts, "query"), read_dense<T>(parts, "key"), read_dense<T>(parts, "gate"),
          read_dense<T>(parts, "value"), read_dense<T>(parts, "output")};
}

// Scores have R's dims [B, free ..., H, T ..., S ...]. With at most one axis in
// each group the engine writes them in place; otherwise its row-major order
// differs from R's within a group, and they are reordered afterwards.
class Scores {
public:
  explicit Scores(const Call &call) : call_(call), dims_(call.score_dim) {
    if (call.scores == 0)
      return;
    const std::size_t head = dims_.size() - 1 - 2 * static_cast<std::size_t>(call.attended);
    if (call.scores == 2)
      dims_.erase(dims_.begin() + static_cast<std::ptrdiff_t>(head));
    array_ = doorway::new_array(Rcpp::wrap(dims_));
    in_place_ = call.attended == 1 && head <= 2;
    view_.mean_over_heads = call.scores == 2;
    if (!in_place_)
      row_major_ = Buffer<double>(array_.size());
    view_.data = in_place_ ? REAL(array_) : row_major_.data();
    set_strides();
  }

  const ScoreView &view() const { return view_; }

  SEXP finish(const Execution &execution) {
    if (call_.scores == 0)
      return R_NilValue;
    if (!in_place_) {
      const std::vector<Index> dims(dims_.begin(), dims_.end());
      to_column_major(row_major_.data(), dims.data(), static_cast<int>(dims.size()),
                      doorway::natural_order(dims.size()).data(), REAL(array_), execution);
    }
    return array_;
  }

private:
  void set_strides() {
    const AttentionShape &a = call_.sizes.attention;
    const Index heads = call_.scores == 2 ? 1 : a.heads;
    if (in_place_) { // first axis fastest
      view_.batch = 1;
      view_.free = a.batch;
      view_.head = view_.free * a.free;
      view_.query = view_.head * heads;
      view_.key = view_.query * a.queries;
    } else { // last axis fastest
      view_.key = 1;
      view_.query = a.keys;
      view_.head = view_.query * a.queries;
      view_.free = view_.head * heads;
      view_.batch = view_.free * a.free;
    }
  }

  const Call &call_;
  std::vector<int> dims_;
  Rcpp::NumericVector array_;
  Buffer<double> row_major_;
  ScoreView view_;
  bool in_place_ = false;
};

// The output has the query's dims with the last one replaced by `output`.
std::vector<Index> dims_of_output(SEXP query, const std::vector<int> &output) {
  std::vector<Index> dims = doorway::dims_of(query);
  dims.pop_back();
  dims.insert(dims.end(), output.begin(), output.end());
  return dims;
}

// Row-major numbers whose leading axes are in `order` as an R array of these
// dims; axes after them keep their places.
template <class T>
SEXP as_r_array(const Buffer<T> &numbers, const std::vector<Index> &dims, std::vector<int> order,
                const Execution &execution) {
  while (order.size() < dims.size())
    order.push_back(static_cast<int>(order.size()));
  Rcpp::NumericVector array = doorway::new_array(Rcpp::IntegerVector(dims.begin(), dims.end()));
  to_column_major(numbers.data(), dims.data(), static_cast<int>(dims.size()), order.data(),
                  REAL(array), execution);
  return array;
}

// What penalties on activities need of query, key, (gate,) value and output:
// the penalties themselves where the engine knows the regularizer (a list), the
// activities as arrays [B, ..., H, K] where an R function takes them (TRUE).
template <class T>
SEXP activities(const Rcpp::List &list, const Call &call, SEXP query, SEXP key,
                const MultiHeadSaved<T> &saved, const Buffer<T> &output,
                const std::vector<Index> &output_dims, const Execution &execution) {
  SEXP request = list["activity"];
  if (Rf_isNull(request))
    return R_NilValue;
  const bool gated = !saved.gate.empty();
  std::vector<const Buffer<T> *> values{&saved.q, &saved.k};
  if (gated)
    values.push_back(&saved.gate);
  values.push_back(&saved.v);
  values.push_back(&output);
  Rcpp::List result(values.size());
  if (TYPEOF(request) == VECSXP) {
    const Rcpp::List config(request);
    const ElementPenalty options{Rcpp::as<double>(config["l1"]), Rcpp::as<double>(config["l2"])};
    for (std::size_t i = 0; i < values.size(); ++i)
      result[i] = penalty(options, values[i]->data(), values[i]->size());
    return result;
  }
  const AttentionShape &a = call.sizes.attention;
  const std::vector<int> order(call.order.begin(), call.order.end() - 1);
  const auto heads_dims = [](SEXP input, Index heads, Index size) {
    std::vector<Index> dims = doorway::dims_of(input);
    dims.back() = heads;
    dims.push_back(size);
    return dims;
  };
  std::vector<std::vector<Index>> dims{heads_dims(query, a.heads, a.key_size),
                                       heads_dims(key, a.groups, a.key_size)};
  if (gated)
    dims.push_back(heads_dims(query, a.heads, a.value_size));
  dims.push_back(heads_dims(key, a.groups, a.value_size));
  dims.push_back(output_dims);
  for (std::size_t i = 0; i < values.size(); ++i)
    result[i] = as_r_array(*values[i], dims[i], order, execution);
  return result;
}

template <class T>
Rcpp::List forward(const Call &call, SEXP query, SEXP value, SEXP key, const Rcpp::List &parts,
                   const Rcpp::List &masks, const Rcpp::List &list, const Execution &execution) {
  MultiHeadSizes sizes = call.sizes;
  sizes.query_features = doorway::dims_of(query).back();
  sizes.value_features = doorway::dims_of(value).back();
  sizes.key_features = doorway::dims_of(key).back();

  // an array that plays several parts is converted once
  const Buffer<T> q = doorway::read_array<T>(query, call.order, execution);
  const Buffer<T> v =
      value == query ? Buffer<T>() : doorway::read_array<T>(value, call.order, execution);
  const T *v_data = value == query ? q.data() : v.data();
  const Buffer<T> k = key == query || key == value
                          ? Buffer<T>()
                          : doorway::read_array<T>(key, call.order, execution);
  const T *k_data = key == query ? q.data() : key == value ? v_data : k.data();

  const std::vector<Index> output_dims = dims_of_output(query, call.output);
  Scores scores(call);
  AttentionOptions options;
  options.mask = read_mask(masks, sizes.attention);
  Buffer<T> result(product(output_dims));
  MultiHeadSaved<T> saved;
  multi_head_attention_forward<T>(sizes, {q.data(), k_data, v_data}, read_weights<T>(parts),
                                  options, result.data(), scores.view(), saved, execution);

  const std::vector<int> order(call.order.begin(), call.order.end() - 1);
  const Rcpp::RObject output = as_r_array(result, output_dims, order, execution);
  const Rcpp::RObject activity =
      activities(list, call, query, key, saved, result, output_dims, execution);
  return Rcpp::List::create(output, scores.finish(execution), activity);
}

} // namespace

// [[Rcpp::export(rng = false)]]
Rcpp::List engine_multi_head_attention(SEXP query, SEXP value, SEXP key, Rcpp::List parts,
                                       Rcpp::List call, Rcpp::List masks, int threads) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(threads);
    const Call c(call);
    if (Rf_isNull(key))
      key = value;
    return c.float64 ? forward<double>(c, query, value, key, parts, masks, call, execution)
                     : forward<float>(c, query, value, key, parts, masks, call, execution);
  });
}
