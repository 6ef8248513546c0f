// The hot loops of the tiled core; contracts in attention_table.h.

template <class S>
void pack_rows(const typename S::Scalar *const *rows, int count, Index size,
               typename S::Scalar scale, typename S::Scalar *packed) {
  using T = typename S::Scalar;
  constexpr int kGroup = 2 * S::kLanes, kBlock = S::kBlock;
  for (int lane = 0; lane < kGroup; lane += kBlock) {
    Index i = 0;
    if (lane + kBlock <= count)
      for (; i + kBlock <= size; i += kBlock) {
        const T *from[kBlock];
        for (int j = 0; j < kBlock; ++j)
          from[j] = rows[lane + j] + i;
        S::transpose(from, packed + i * kGroup + lane, kGroup, scale);
      }
    for (int j = lane; j < lane + kBlock; ++j)
      for (Index rest = i; rest < size; ++rest)
        packed[rest * kGroup + j] = j < count ? rows[j][rest] * scale : T(0);
  }
}

template <class S> AttentionKernels<typename S::Scalar> attention_kernels() {
  AttentionKernels<typename S::Scalar> table;
  table.lanes = S::kLanes;
  table.pack_rows = pack_rows<S>;
  return table;
}
