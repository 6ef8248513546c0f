// Attention without projections: one call from R is one call into the engine.
#include "r_call.h"

#include "engine/additive_attention.h"
#include "engine/dot_attention.h"

using namespace attentive;

namespace {

// The weights that a layer has, as raw numbers: `scale`, `inside` and `outside`
// of additive_attention.h, each NULL where there is none. The scale of a dot
// product is `outside`.
template <class T> struct Weights {
  explicit Weights(const Rcpp::List &list)
      : scale(list["scale"]), inside(list["inside"]), outside(list["outside"]) {}

  AdditiveScore<T> score() const {
    return {doorway::raw_numbers<T>(scale), number(inside), number(outside)};
  }
  static T number(SEXP raw) {
    const T *number = doorway::raw_numbers<T>(raw);
    return number == nullptr ? T(1) : *number;
  }

  SEXP scale, inside, outside;
};

AttentionOptions options_of(const doorway::Call &call, const Rcpp::List &masks, double scale) {
  AttentionOptions options =
      doorway::attention_options(call, doorway::read_mask(masks, call.shape));
  options.scale = scale;
  return options;
}

template <class T>
void forward(bool dot, const doorway::Call &call, const PlainInputs<T> &inputs,
             const Weights<T> &weights, const Rcpp::List &masks, T *output,
             const ScoreView &scores, const Execution &execution) {
  const AdditiveScore<T> score = weights.score();
  const AttentionOptions options = options_of(call, masks, static_cast<double>(score.outside));
  if (dot)
    dot_attention_forward<T>(call.shape, inputs, options, output, scores, execution);
  else
    additive_attention_forward<T>(call.shape, inputs, score, options, output, scores, execution);
}

template <class T>
Rcpp::List attend(bool dot, const doorway::Call &call, SEXP query, SEXP value, SEXP key,
                  const Rcpp::List &weights, const Rcpp::List &masks,
                  const Execution &execution) {
  const doorway::Inputs<T> inputs(query, value, key, call.order, execution);
  doorway::Output<T> output(query, call);
  doorway::Scores scores(call);
  forward<T>(dot, call, {inputs.query(), inputs.key(), inputs.value()}, Weights<T>(weights), masks,
             output.data(), scores.view(), execution);
  return Rcpp::List::create(output.finish(execution), scores.finish(execution));
}

template <class T>
Rcpp::List gradients(bool dot, const doorway::Call &call, SEXP query, SEXP value, SEXP key,
                     bool has_key, const Rcpp::List &weights, const Rcpp::List &masks,
                     SEXP upstream, SEXP scores_upstream, const Execution &execution) {
  const doorway::Inputs<T> inputs(query, value, key, call.order, execution);
  const PlainInputs<T> in{inputs.query(), inputs.key(), inputs.value()};
  const Weights<T> w(weights);
  doorway::Output<T> output(query, call);
  forward<T>(dot, call, in, w, masks, output.data(), ScoreView(), execution);
  const Rcpp::NumericVector out = output.finish(execution);

  const Buffer<T> d_output = doorway::read_upstream<T>(upstream, out, call, execution);
  const Buffer<T> d_scores = doorway::read_scores_upstream<T>(scores_upstream, execution);
  doorway::InputGradients<T> d_inputs(query, value, key);
  const PlainGradients<T> to{d_inputs.query.data(), d_inputs.key.data(), d_inputs.value.data()};
  const AdditiveScore<T> score = w.score();
  const AttentionOptions options = options_of(call, masks, static_cast<double>(score.outside));
  Buffer<T> d_scale(Rf_isNull(w.scale) ? 0 : call.shape.key_size);
  T d_inside = 0, d_outside = 0;
  if (dot)
    dot_attention_backward<T>(call.shape, in, options, d_output.data(), d_scores.data(), to,
                              Rf_isNull(w.outside) ? nullptr : &d_outside, execution);
  else
    additive_attention_backward<T>(call.shape, in, score, options, d_output.data(),
                                   d_scores.data(), to, {d_scale.data(), &d_inside, &d_outside},
                                   execution);

  Rcpp::List d_weights =
      Rcpp::List::create(Rcpp::Named("scale") = doorway::plain_vector(d_scale),
                         Rcpp::Named("inside") = static_cast<double>(d_inside),
                         Rcpp::Named("outside") = static_cast<double>(d_outside));
  return Rcpp::List::create(
      Rcpp::Named("output") = out,
      Rcpp::Named("inputs") = d_inputs.finish(query, value, key, has_key, call, execution),
      Rcpp::Named("weights") = d_weights);
}

} // namespace

// `weights`: see Weights. dot: dot-product scores, else additive ones.
// [[Rcpp::export(rng = false)]]
Rcpp::List engine_unprojected_attention(bool dot, SEXP query, SEXP value, SEXP key,
                                        Rcpp::List weights, Rcpp::List call, Rcpp::List masks,
                                        int threads) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(threads);
    const doorway::Call c(call);
    return c.float64 ? attend<double>(dot, c, query, value, key, weights, masks, execution)
                     : attend<float>(dot, c, query, value, key, weights, masks, execution);
  });
}

// [[Rcpp::export(rng = false)]]
Rcpp::List engine_unprojected_gradients(bool dot, SEXP query, SEXP value, SEXP key, bool has_key,
                                        Rcpp::List weights, Rcpp::List call, Rcpp::List masks,
                                        int threads, SEXP upstream, SEXP scores_upstream) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(threads);
    const doorway::Call c(call);
    return c.float64 ? gradients<double>(dot, c, query, value, key, has_key, weights, masks,
                                         upstream, scores_upstream, execution)
                     : gradients<float>(dot, c, query, value, key, has_key, weights, masks,
                                        upstream, scores_upstream, execution);
  });
}
