#include "attention.h"
#include "attention_naive.h"

namespace attentive {

template <class T>
void attention_backward(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                        HeadView<const T> v, const AttentionOptions &options, HeadView<const T>,
                        const T *, HeadView<const T> d_out, const T *d_scores, HeadView<T> d_q,
                        HeadView<T> d_k, HeadView<T> d_v, const Execution &) {
  attention_backward_naive<T>(shape, q, k, v, options, d_out, d_scores, d_q, d_k, d_v);
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void attention_backward<T>(                                                             \
      const AttentionShape &, HeadView<const T>, HeadView<const T>, HeadView<const T>,             \
      const AttentionOptions &, HeadView<const T>, const T *, HeadView<const T>, const T *,        \
      HeadView<T>, HeadView<T>, HeadView<T>, const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
