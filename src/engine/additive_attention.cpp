#include "additive_attention.h"

#include "additive_attention_naive.h"

namespace attentive {

template <class T>
void additive_attention_forward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                                const AdditiveScore<T> &score, const AttentionOptions &options,
                                T *output, const ScoreView &scores, const Execution &) {
  Buffer<T> rows(scores.data == nullptr
                     ? 0
                     : checked_product({shape.elements(), shape.queries, shape.keys}));
  additive_attention_forward_naive(shape, inputs, score, options, output,
                                   scores.data == nullptr ? nullptr : rows.data());
  if (scores.data != nullptr)
    copy_scores_naive(shape, static_cast<const T *>(rows.data()), scores);
}

template void additive_attention_forward<float>(const AttentionShape &, const PlainInputs<float> &,
                                                const AdditiveScore<float> &,
                                                const AttentionOptions &, float *,
                                                const ScoreView &, const Execution &);
template void additive_attention_forward<double>(const AttentionShape &,
                                                 const PlainInputs<double> &,
                                                 const AdditiveScore<double> &,
                                                 const AttentionOptions &, double *,
                                                 const ScoreView &, const Execution &);

} // namespace attentive
