// Attention without projections: one call from R is one call into the engine.
#include "r_call.h"

#include "engine/additive_attention.h"
#include "engine/dot_attention.h"

using namespace attentive;

namespace {

// A weight that is one number; 1 where the layer has none.
template <class T> T read_number(SEXP raw) {
  const T *number = doorway::raw_numbers<T>(raw);
  return number == nullptr ? T(1) : *number;
}

// Reads the arrays, lets forward(inputs, options, output, scores) work, and
// gives R the output and the scores.
template <class T, class Forward>
Rcpp::List attend(const doorway::Call &call, SEXP query, SEXP value, SEXP key,
                  const Rcpp::List &masks, const Execution &execution, const Forward &forward) {
  const doorway::Inputs<T> inputs(query, value, key, call.order, execution);
  doorway::Output<T> output(query, call);
  doorway::Scores scores(call);
  AttentionOptions options;
  options.mask = doorway::read_mask(masks, call.shape);
  forward(PlainInputs<T>{inputs.query(), inputs.key(), inputs.value()}, options, output.data(),
          scores.view());
  return Rcpp::List::create(output.finish(execution), scores.finish(execution));
}

template <class T>
Rcpp::List dot(const doorway::Call &call, SEXP query, SEXP value, SEXP key, SEXP scale,
               const Rcpp::List &masks, const Execution &execution) {
  return attend<T>(call, query, value, key, masks, execution,
                   [&](const PlainInputs<T> &inputs, AttentionOptions options, T *output,
                       const ScoreView &scores) {
                     options.scale = static_cast<double>(read_number<T>(scale));
                     dot_attention_forward<T>(call.shape, inputs, options, output, scores,
                                              execution);
                   });
}

template <class T>
Rcpp::List additive(const doorway::Call &call, SEXP query, SEXP value, SEXP key,
                    const Rcpp::List &weights, const Rcpp::List &masks,
                    const Execution &execution) {
  AdditiveScore<T> score;
  score.scale = doorway::raw_numbers<T>(weights["scale"]);
  score.inside = read_number<T>(weights["inside"]);
  score.outside = read_number<T>(weights["outside"]);
  return attend<T>(call, query, value, key, masks, execution,
                   [&](const PlainInputs<T> &inputs, const AttentionOptions &options, T *output,
                       const ScoreView &scores) {
                     additive_attention_forward<T>(call.shape, inputs, score, options, output,
                                                   scores, execution);
                   });
}

} // namespace

// [[Rcpp::export(rng = false)]]
Rcpp::List engine_dot_attention(SEXP query, SEXP value, SEXP key, SEXP scale, Rcpp::List call,
                                Rcpp::List masks, int threads) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(threads);
    const doorway::Call c(call);
    return c.float64 ? dot<double>(c, query, value, key, scale, masks, execution)
                     : dot<float>(c, query, value, key, scale, masks, execution);
  });
}

// `weights` are the raw numbers scale, inside and outside of
// additive_attention.h, each NULL where the layer has none.
// [[Rcpp::export(rng = false)]]
Rcpp::List engine_additive_attention(SEXP query, SEXP value, SEXP key, Rcpp::List weights,
                                     Rcpp::List call, Rcpp::List masks, int threads) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(threads);
    const doorway::Call c(call);
    return c.float64 ? additive<double>(c, query, value, key, weights, masks, execution)
                     : additive<float>(c, query, value, key, weights, masks, execution);
  });
}
