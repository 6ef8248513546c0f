// Multi-head attention, grouped heads included: one call from R is one call
// into the engine.
#include "r_call.h"

#include "engine/multi_head_attention.h"

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

template <class T>
Rcpp::List forward(const doorway::Call &call, SEXP query, SEXP value, SEXP key,
                   const Rcpp::List &parts, const Rcpp::List &masks, const Execution &execution) {
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
  return Rcpp::List::create(output.finish(execution), scores.finish(execution));
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
    return c.float64 ? forward<double>(c, query, value, key, parts, masks, execution)
                     : forward<float>(c, query, value, key, parts, masks, execution);
  });
}
