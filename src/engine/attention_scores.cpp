#include "attention.h"
#include "attention_naive.h"

namespace attentive {

template <class T>
void attention_scores(const AttentionShape &a, HeadView<const T> q, HeadView<const T> k,
                      const AttentionOptions &options, const T *, const ScoreView &scores,
                      const Execution &) {
  AttentionOptions plain = options;
  plain.dropout = Dropout();
  AttentionShape shape = a;
  shape.value_size = 0; // the scores alone
  Buffer<T> numbers(checked_product({a.elements(), a.heads, a.queries, a.keys}));
  attention_forward_naive<T>(shape, q, k, HeadView<const T>(), plain, HeadView<T>(), nullptr,
                             numbers.data());
  copy_scores_naive<T>(a, numbers.data(), scores);
}

template void attention_scores<float>(const AttentionShape &, HeadView<const float>,
                                      HeadView<const float>, const AttentionOptions &,
                                      const float *, const ScoreView &, const Execution &);
template void attention_scores<double>(const AttentionShape &, HeadView<const double>,
                                       HeadView<const double>, const AttentionOptions &,
                                       const double *, const ScoreView &, const Execution &);

} // namespace attentive
