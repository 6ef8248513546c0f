// Multi-head attention, grouped heads included: one call from R is one call
// into the engine.
#include "r_call.h"

#include "engine/multi_head_attention.h"
#include "engine/regularizers.h"

using namespace attentive;

namespace {

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

MultiHeadSizes read_sizes(const doorway::Call &call, SEXP query, SEXP value, SEXP key) {
  MultiHeadSizes sizes;
  sizes.attention = call.shape;
  sizes.query_features = doorway::dims_of(query).back();
  sizes.value_features = doorway::dims_of(value).back();
  sizes.key_features = doorway::dims_of(key).back();
  sizes.output_features = call.output_features();
  return sizes;
}

// One projection's output, [N, tokens, heads, size] or that of the layer.
template <class T> struct Activity {
  const Buffer<T> *numbers;
  SEXP input; // its dims but the last are those of the activity
  Index heads, size;
};

// What penalties on activities need of query, key, (gate,) value and output:
// the penalties where the engine knows the regularizer (a list), the activities
// as arrays [B, ..., H, K] where an R function takes them (TRUE).
template <class T>
Rcpp::RObject activities(const Rcpp::List &list, const doorway::Call &call, SEXP query, SEXP key,
                         const MultiHeadSaved<T> &saved, const doorway::Output<T> &output,
                         const Execution &execution) {
  SEXP request = list["activity"];
  if (Rf_isNull(request))
    return R_NilValue;
  const AttentionShape &a = call.shape;
  std::vector<Activity<T>> projections{{&saved.q, query, a.heads, a.key_size},
                                       {&saved.k, key, a.groups, a.key_size}};
  if (!saved.gate.empty())
    projections.push_back({&saved.gate, query, a.heads, a.value_size});
  projections.push_back({&saved.v, key, a.groups, a.value_size});

  Rcpp::List result;
  if (TYPEOF(request) == VECSXP) {
    const Rcpp::List config(request);
    const ElementPenalty options{Rcpp::as<double>(config["l1"]), Rcpp::as<double>(config["l2"])};
    for (const Activity<T> &p : projections)
      result.push_back(penalty(options, p.numbers->data(), p.numbers->size()));
    result.push_back(penalty(options, output.numbers().data(), output.numbers().size()));
    return result;
  }
  for (const Activity<T> &p : projections) {
    std::vector<Index> dims = doorway::dims_of(p.input);
    dims.back() = p.heads;
    dims.push_back(p.size);
    result.push_back(doorway::as_r_array(p.numbers->data(), dims, call.token_order(), execution));
  }
  result.push_back(output.finish(execution));
  return result;
}

template <class T>
Rcpp::List forward(const doorway::Call &call, SEXP query, SEXP value, SEXP key,
                   const Rcpp::List &parts, const Rcpp::List &masks, const Rcpp::List &list,
                   const Execution &execution) {
  const doorway::Inputs<T> inputs(query, value, key, call.order, execution);
  doorway::Output<T> output(query, call);
  doorway::Scores scores(call);
  MultiHeadSaved<T> saved;
  multi_head_attention_forward<T>(
      read_sizes(call, query, value, key), {inputs.query(), inputs.key(), inputs.value()},
      read_weights<T>(parts),
      doorway::attention_options(call, doorway::read_mask(masks, call.shape)), output.data(),
      scores.view(), saved, execution);
  return Rcpp::List::create(output.finish(execution), scores.finish(execution),
                            activities(list, call, query, key, saved, output, execution));
}

// The gradient of penalties on activities, each times `weight`; the output's
// counts `output_times`. `penalty` is a list where the engine knows the
// regularizer, otherwise `fun` is its gradient as an R function of an array.
template <class T>
ActivityGradient<T> activity_gradient(SEXP request, const doorway::Call &call, SEXP query, SEXP key,
                                      const Execution &execution) {
  if (Rf_isNull(request))
    return nullptr;
  const Rcpp::List list(request);
  const double weight = Rcpp::as<double>(list["weight"]);
  const double output_times = Rcpp::as<double>(list["output_times"]);
  SEXP known = list["penalty"];
  if (TYPEOF(known) == VECSXP) {
    const Rcpp::List config(known);
    const ElementPenalty options{Rcpp::as<double>(config["l1"]), Rcpp::as<double>(config["l2"])};
    return [=](Part part, const T *values, Index size, T *d_values) {
      penalty_backward(options, values, size, part == Part::output ? weight * output_times : weight,
                       d_values);
    };
  }
  const Rcpp::Function fun = list["fun"];
  return [=, &call](Part part, const T *values, Index size, T *d_values) {
    const bool of_key = part == Part::key || part == Part::value;
    std::vector<Index> dims = doorway::dims_of(of_key ? key : query);
    dims.pop_back();
    if (part == Part::output) {
      dims.insert(dims.end(), call.output.begin(), call.output.end());
    } else {
      const bool of_value = part == Part::gate || part == Part::value;
      dims.push_back(of_key ? call.shape.groups : call.shape.heads);
      dims.push_back(of_value ? call.shape.value_size : call.shape.key_size);
    }
    const std::vector<int> order = doorway::fill_order(call.token_order(), dims.size());
    const Rcpp::RObject gradient = fun(doorway::as_r_array(values, dims, order, execution));
    const Buffer<T> d = doorway::read_array<T>(gradient, order, execution);
    const T factor = static_cast<T>(part == Part::output ? weight * output_times : weight);
    for (Index i = 0; i < size; ++i)
      d_values[i] += factor * d[i];
  };
}

// The gradients of all kernels and biases: one buffer for each raw of `parts`.
template <class T> class WeightGradients {
public:
  explicit WeightGradients(const Rcpp::List &parts) : parts_(parts) {
    Dense<T> *const places[] = {&weights_.query, &weights_.key, &weights_.gate, &weights_.value,
                                &weights_.output};
    const char *const names[] = {"query", "key", "gate", "value", "output"};
    for (int i = 0; i < 5; ++i)
      if (parts.containsElementNamed(names[i]))
        *places[i] = make_room(parts[names[i]]);
  }

  const MultiHeadWeights<T> &weights() const { return weights_; }

  // Flat, row-major, in the order of get_weights().
  Rcpp::List finish() const {
    Rcpp::List out(static_cast<R_xlen_t>(buffers_.size()));
    for (std::size_t i = 0; i < buffers_.size(); ++i)
      out[static_cast<R_xlen_t>(i)] = doorway::plain_vector(buffers_[i]);
    return out;
  }

private:
  Dense<T> make_room(const Rcpp::List &part) {
    T *places[2] = {nullptr, nullptr};
    for (int i = 0; i < 2; ++i) {
      SEXP raw = part[i];
      if (Rf_isNull(raw))
        continue;
      buffers_.emplace_back(static_cast<Index>(Rf_xlength(raw)) / static_cast<Index>(sizeof(T)));
      places[i] = buffers_.back().data();
    }
    return {places[0], places[1]};
  }

  const Rcpp::List parts_;
  MultiHeadWeights<T> weights_;
  std::vector<Buffer<T>> buffers_;
};

template <class T>
Rcpp::List gradients(const doorway::Call &call, SEXP query, SEXP value, SEXP key, bool has_key,
                     const Rcpp::List &parts, const Rcpp::List &masks, SEXP upstream,
                     SEXP scores_upstream, const ActivityGradient<T> &activity,
                     const Execution &execution) {
  const MultiHeadSizes sizes = read_sizes(call, query, value, key);
  const doorway::Inputs<T> inputs(query, value, key, call.order, execution);
  const MultiHeadInputs<T> in = {inputs.query(), inputs.key(), inputs.value()};
  const MultiHeadWeights<const T> weights = read_weights<T>(parts);
  const AttentionOptions options =
      doorway::attention_options(call, doorway::read_mask(masks, call.shape));
  doorway::Output<T> output(query, call);
  MultiHeadSaved<T> saved;
  multi_head_attention_forward<T>(sizes, in, weights, options, output.data(), ScoreView(), saved,
                                  execution);
  const Rcpp::NumericVector out = output.finish(execution);

  Buffer<T> d_output = doorway::read_upstream<T>(upstream, out, call, execution);
  const Buffer<T> d_scores = doorway::read_scores_upstream<T>(scores_upstream, execution);
  WeightGradients<T> d_weights(parts);
  doorway::InputGradients<T> d_inputs(query, value, key);
  multi_head_attention_backward<T>(
      sizes, in, weights, options, output.data(), saved, d_output.data(), d_scores.data(), activity,
      {d_inputs.query.data(), d_inputs.key.data(), d_inputs.value.data()}, d_weights.weights(),
      execution);
  return Rcpp::List::create(
      Rcpp::Named("output") = out,
      Rcpp::Named("inputs") = d_inputs.finish(query, value, key, has_key, call, execution),
      Rcpp::Named("weights") = d_weights.finish());
}

} // namespace

// [[Rcpp::export(rng = false)]]
Rcpp::List engine_multi_head_attention(SEXP query, SEXP value, SEXP key, Rcpp::List parts,
                                       Rcpp::List call, Rcpp::List masks, int threads) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(threads);
    const doorway::Call c(call);
    if (Rf_isNull(key))
      key = value;
    return c.float64 ? forward<double>(c, query, value, key, parts, masks, call, execution)
                     : forward<float>(c, query, value, key, parts, masks, call, execution);
  });
}

// [[Rcpp::export(rng = false)]]
Rcpp::List engine_multi_head_gradients(SEXP query, SEXP value, SEXP key, Rcpp::List parts,
                                       Rcpp::List call, Rcpp::List masks, int threads,
                                       SEXP upstream, SEXP scores_upstream, SEXP activity) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(threads);
    const doorway::Call c(call);
    const bool has_key = !Rf_isNull(key);
    if (!has_key)
      key = value;
    if (c.float64)
      return gradients<double>(
          c, query, value, key, has_key, parts, masks, upstream, scores_upstream,
          activity_gradient<double>(activity, c, query, key, execution), execution);
    return gradients<float>(c, query, value, key, has_key, parts, masks, upstream, scores_upstream,
                            activity_gradient<float>(activity, c, query, key, execution),
                            execution);
  });
}
