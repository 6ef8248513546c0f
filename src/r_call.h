// What the calls of all attention layers share at the doorway: sizes, masks,
// inputs, scores and the output.
#pragma once

#include "r_common.h"

#include "engine/attention.h"

namespace attentive {
namespace doorway {

inline Index as_index(SEXP x) { return static_cast<Index>(Rcpp::as<double>(x)); }

// The list that R hands over, read once: field names are those of attend.R.
struct Call {
  explicit Call(const Rcpp::List &list)
      : float64(Rcpp::as<bool>(list["float64"])), scores(Rcpp::as<int>(list["scores"])),
        attended(Rcpp::as<int>(list["attended"])), order(Rcpp::as<std::vector<int>>(list["order"])),
        output(Rcpp::as<std::vector<int>>(list["output"])),
        score_dim(Rcpp::as<std::vector<int>>(list["score_dim"])) {
    shape.batch = as_index(list["batch"]);
    shape.free = as_index(list["free"]);
    shape.queries = as_index(list["queries"]);
    shape.keys = as_index(list["keys"]);
    shape.heads = as_index(list["heads"]);
    shape.groups = as_index(list["groups"]);
    shape.key_size = as_index(list["key_size"]);
    shape.value_size = as_index(list["value_size"]);
    const auto d = Rcpp::as<std::vector<double>>(list["dropout"]); // rate, key (2 words), call
    dropout.rate = d[0];
    dropout.seed = (static_cast<std::uint64_t>(d[1]) << 32) | static_cast<std::uint64_t>(d[2]);
    dropout.call = static_cast<std::uint64_t>(d[3]);
  }

  // E, the product of the sizes that replace the query's features.
  Index output_features() const {
    Index features = 1;
    for (int size : output)
      features = checked_product(features, size);
    return features;
  }

  // The order of all axes but the features.
  std::vector<int> token_order() const { return {order.begin(), order.end() - 1}; }

  bool float64;
  int scores; // 0 none, 1 all heads, 2 averaged over the heads
  int attended;
  std::vector<int> order, output, score_dim;
  AttentionShape shape;
  Dropout dropout;
};

inline AttentionOptions attention_options(const Call &call, const Mask &mask) {
  AttentionOptions options;
  options.mask = mask;
  options.dropout = call.dropout;
  return options;
}

inline Mask read_mask(const Rcpp::List &list, const AttentionShape &shape) {
  Mask mask;
  mask.query = raw_numbers<std::uint8_t>(list["query"]);
  mask.key = raw_numbers<std::uint8_t>(list["key"]);
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
    mask.dense = raw_numbers<std::uint8_t>(dense);
  }
  return mask;
}

// Query, key and value as row-major T. An array that plays several parts is
// converted once.
template <class T> class Inputs {
public:
  Inputs(SEXP query, SEXP value, SEXP key, const std::vector<int> &order,
         const Execution &execution)
      : query_(read_array<T>(query, order, execution)) {
    if (value != query)
      value_ = read_array<T>(value, order, execution);
    if (key != query && key != value)
      key_ = read_array<T>(key, order, execution);
    value_data_ = value == query ? query_.data() : value_.data();
    key_data_ = key == query ? query_.data() : key == value ? value_data_ : key_.data();
  }
  const T *query() const { return query_.data(); }
  const T *value() const { return value_data_; }
  const T *key() const { return key_data_; }

private:
  Buffer<T> query_, value_, key_;
  const T *value_data_, *key_data_;
};

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
    array_ = new_array(Rcpp::wrap(dims_));
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
                      natural_order(dims.size()).data(), REAL(array_), execution);
    }
    return array_;
  }

private:
  void set_strides() {
    const AttentionShape &a = call_.shape;
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

// An order of the leading axes, completed: those after them keep their places.
inline std::vector<int> fill_order(std::vector<int> order, std::size_t rank) {
  while (order.size() < rank)
    order.push_back(static_cast<int>(order.size()));
  return order;
}

// Row-major numbers as an R array of these dims; `order` is that of the leading axes.
template <class T>
Rcpp::NumericVector as_r_array(const T *numbers, const std::vector<Index> &dims,
                               std::vector<int> order, const Execution &execution) {
  while (order.size() < dims.size())
    order.push_back(static_cast<int>(order.size()));
  Rcpp::NumericVector array = new_array(r_dims(dims));
  to_column_major(numbers, dims.data(), static_cast<int>(dims.size()),
                  fill_order(order, dims.size()).data(), REAL(array), execution);
  return array;
}

// The output: the query's dims with the last one replaced.
template <class T> class Output {
public:
  Output(SEXP query, const Call &call) : call_(call), dims_(dims_of(query)) {
    dims_.pop_back();
    dims_.insert(dims_.end(), call.output.begin(), call.output.end());
    Index size = 1;
    for (Index dim : dims_)
      size = checked_product(size, dim);
    numbers_ = Buffer<T>(size);
  }

  T *data() { return numbers_.data(); }
  const Buffer<T> &numbers() const { return numbers_; }
  Rcpp::NumericVector finish(const Execution &execution) const {
    return as_r_array(numbers_.data(), dims_, call_.token_order(), execution);
  }

private:
  const Call &call_;
  std::vector<Index> dims_;
  Buffer<T> numbers_;
};

// What arrives at the output, row-major; ones where R gives NULL.
template <class T>
Buffer<T> read_upstream(SEXP upstream, const Rcpp::NumericVector &output, const Call &call,
                        const Execution &execution) {
  if (Rf_isNull(upstream))
    return Buffer<T>(Rf_xlength(output), T(1));
  return read_array<T>(upstream, fill_order(call.token_order(), dims_of(output).size()), execution);
}

// What arrives at the scores, row-major; empty where R gives NULL.
template <class T> Buffer<T> read_scores_upstream(SEXP upstream, const Execution &execution) {
  if (Rf_isNull(upstream))
    return Buffer<T>();
  return read_array<T>(upstream, natural_order(dims_of(upstream).size()), execution);
}

// Room for the gradients of query, value and key, and what R gets of it.
// Without a key the value was the key too: its gradient holds both parts.
template <class T> struct InputGradients {
  InputGradients(SEXP q, SEXP v, SEXP k)
      : query(Rf_xlength(q)), value(Rf_xlength(v)), key(Rf_xlength(k)) {}

  Rcpp::List finish(SEXP q, SEXP v, SEXP k, bool has_key, const Call &call,
                    const Execution &execution) {
    if (!has_key)
      for (Index i = 0; i < value.size(); ++i)
        value[i] += key[i];
    const auto as_array = [&](const Buffer<T> &numbers, SEXP like) {
      return as_r_array(numbers.data(), dims_of(like), call.order, execution);
    };
    Rcpp::List list = Rcpp::List::create(Rcpp::Named("query") = as_array(query, q),
                                         Rcpp::Named("value") = as_array(value, v));
    if (has_key)
      list["key"] = as_array(key, k);
    return list;
  }

  Buffer<T> query, value, key;
};

} // namespace doorway
} // namespace attentive
