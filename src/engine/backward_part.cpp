// One part of the keys of a head against all queries that share it.
#include <algorithm>

#include "backward_block.h"

namespace attentive {

namespace {

// What a part of the keys may take in the memory of a thread.
constexpr Index kPartBytes = Index(2) << 20;
constexpr Index kMaxPartKeys = 2048;

// Rows of tokens, padded with zeros to whole vectors. False if any number is
// not finite.
template <class T>
bool load_tile(const BackwardCall<T> &call, HeadView<const T> from, Index size, Index stride,
               Index n, Index g, Index first, Index last, T *to) {
  const T *rows[kTileKeys];
  for (Index s = first; s < last; ++s) {
    rows[s - first] = from.row(n, s, g);
    fetch_row(rows[s - first], size);
  }
  return call.kernels.backward.load_rows(rows, static_cast<int>(last - first), size, stride, T(1),
                                         to);
}

// k and v of the keys, padded with zeros to whole `rows`.
template <class T>
void load_keys(const BackwardCall<T> &call, BackwardScratch<T> &s, Index n, Index g, Index first,
               Index last) {
  const AttentionShape &shape = call.shape;
  for (Index at = first; at < last; at += kTileKeys) {
    const Index end = std::min<Index>(at + kTileKeys, last), i = at - first;
    const bool finite =
        load_tile(call, call.k, shape.key_size, s.k_stride, n, g, at, end, s.k + i * s.k_stride) &
        load_tile(call, call.v, shape.value_size, s.v_stride, n, g, at, end, s.v + i * s.v_stride);
    s.careful[static_cast<std::size_t>(i / kTileKeys)] = !finite;
  }
  const Index keys = last - first, padded = rounded_up(keys, call.kernels.backward.rows);
  std::fill(s.k + keys * s.k_stride, s.k + padded * s.k_stride, T(0));
  std::fill(s.v + keys * s.v_stride, s.v + padded * s.v_stride, T(0));
}

template <class T>
void store_keys(const BackwardCall<T> &call, const BackwardScratch<T> &s, Index n, Index g,
                Index first, Index last) {
  for (Index i = first; i < last; ++i) {
    const T *d_k = s.d_k + (i - first) * s.k_stride, *d_v = s.d_v + (i - first) * s.v_stride;
    std::copy_n(d_k, call.shape.key_size, call.d_k.row(n, i, g));
    std::copy_n(d_v, call.shape.value_size, call.d_v.row(n, i, g));
  }
}

// One block of queries against the loaded part of the keys.
template <class T>
void run_block(BackwardBlock<T> &block, Index first, Index last, bool add, HeadView<T> d_q) {
  const Mask::KeyRange seen = block.key_range();
  const Index skipped = std::max<Index>(0, seen.begin - first) / kTileKeys * kTileKeys;
  const Index begin = first + skipped, end = std::min(last, seen.end);
  if (begin >= end) {
    if (!add)
      block.clear(d_q);
    return;
  }
  block.load();
  for (Index s = begin; s < end; s += kTileKeys)
    block.differentiate(first, s, std::min(s + kTileKeys, last));
  block.store(add, d_q);
}

} // namespace

template <class T> Index BackwardCall<T>::part_keys() const {
  const Index lanes = kernels.backward.lanes, keys = std::max<Index>(shape.keys, 1);
  const Index row = 2 * Index(sizeof(T)) *
                    (rounded_up(shape.key_size, lanes) + rounded_up(shape.value_size, lanes));
  const Index fitting = kPartBytes / std::max<Index>(row, 1);
  const Index most = std::min(kMaxPartKeys, std::max<Index>(fitting, kTileKeys));
  const Index parts = (keys + most - 1) / most; // of about the same length
  return parts == 1 ? keys : std::min(most, rounded_up((keys + parts - 1) / parts, kTileKeys));
}

template <class T> BackwardScratch<T>::BackwardScratch(const BackwardCall<T> &call) {
  const AttentionShape &shape = call.shape;
  const BackwardKernels<T> &kernels = call.kernels.backward;
  const Index keys = std::max<Index>(rounded_up(call.part_keys(), kernels.rows), kTileKeys);
  k_stride = rounded_up(shape.key_size, kernels.lanes);
  v_stride = rounded_up(shape.value_size, kernels.lanes);
  const Index group = 2 * kernels.lanes, scores = Index(kBackwardQueries) * kTileKeys;
  const struct {
    T **part;
    Index size;
  } parts[] = {{&k, keys * k_stride},
               {&v, keys * v_stride},
               {&d_k, keys * k_stride},
               {&d_v, keys * v_stride},
               {&q_rows, kBackwardQueries * k_stride},
               {&d_out_rows, kBackwardQueries * v_stride},
               {&q, kBackwardQueries * shape.key_size},
               {&d_out, kBackwardQueries * shape.value_size},
               {&d_q, kBackwardQueries * shape.key_size},
               {&offset, kBackwardQueries},
               {&delta, kBackwardQueries},
               {&p, scores},
               {&d_s, scores},
               {&d_scores, call.d_scores == nullptr ? 0 : group * kTileKeys},
               {&rows, group * shape.key_size},
               {&out, group * shape.value_size}};
  constexpr Index kLine = Buffer<T>::kAlignment / sizeof(T);
  Index size = 0;
  for (const auto &part : parts)
    size += rounded_up(part.size, kLine);
  memory = Buffer<T>(size);
  T *at = memory.data();
  for (const auto &part : parts) {
    *part.part = at;
    at += rounded_up(part.size, kLine);
  }
  careful.resize(static_cast<std::size_t>(keys / kTileKeys + 1));
}

template <class T>
void backward_part(const BackwardCall<T> &call, BackwardScratch<T> &s, Index n, Index g,
                   Index first, Index last, bool add, HeadView<T> d_q) {
  const AttentionShape &shape = call.shape;
  const Index share = shape.heads / shape.groups;
  const Index blocks = (shape.queries + kBackwardQueries - 1) / kBackwardQueries;
  const Index padded = rounded_up(last - first, call.kernels.backward.rows);
  load_keys(call, s, n, g, first, last);
  std::fill_n(s.d_k, padded * s.k_stride, T(0));
  std::fill_n(s.d_v, padded * s.v_stride, T(0));
  for (Index h = g * share; h < (g + 1) * share; ++h)
    for (Index b = 0; b < blocks; ++b) {
      BackwardBlock<T> block(call, s, n, h, b);
      run_block(block, first, last, add, d_q);
    }
  store_keys(call, s, n, g, first, last);
}

template <class T>
void backward_score_delta(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n,
                          Index h, Index b, T *score_delta) {
  const AttentionShape &shape = call.shape;
  BackwardBlock<T> block(call, scratch, n, h, b);
  const Mask::KeyRange seen = block.key_range();
  if (seen.begin >= seen.end)
    return;
  block.load();
  T weights[kBackwardQueries] = {};
  for (Index s = seen.begin; s < seen.end; s += kTileKeys) {
    const Index end = std::min<Index>(s + kTileKeys, seen.end);
    load_keys(call, scratch, n, h / (shape.heads / shape.groups), s, end);
    block.add_score_delta(s, end, score_delta, weights);
  }
  block.divide_score_delta(weights, score_delta);
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template struct BackwardScratch<T>;                                                              \
  template Index BackwardCall<T>::part_keys() const;                                               \
  template void backward_part(const BackwardCall<T> &, BackwardScratch<T> &, Index, Index, Index,  \
                              Index, bool, HeadView<T>);                                           \
  template void backward_score_delta(const BackwardCall<T> &, BackwardScratch<T> &, Index, Index,  \
                                     Index, T *);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
