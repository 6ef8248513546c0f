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
  MultiHeadSizes sizes;
  sizes.attention = call.shape;
  sizes.query_features = doorway::dims_of(query).back();
  sizes.value_features = doorway::dims_of(value).back();
  sizes.key_features = doorway::dims_of(key).back();
  sizes.output_features = call.output_features();

  const doorway::Inputs<T> inputs(query, value, key, call.order, execution);
  doorway::Output<T> output(query, call);
  doorway::Scores scores(call);
  AttentionOptions options;
  options.mask = doorway::read_mask(masks, call.shape);
  MultiHeadSaved<T> saved;
  multi_head_attention_forward<T>(sizes, {inputs.query(), inputs.key(), inputs.value()},
                                  read_weights<T>(parts), options, output.data(), scores.view(),
                                  saved, execution);
  return Rcpp::List::create(output.finish(execution), scores.finish(execution),
                            activities(list, call, query, key, saved, output, execution));
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
