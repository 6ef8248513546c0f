// The register-tiled product of matmul.cpp. Columns of c are lanes; an entry of
// a is broadcast and serves all vectors of the tile's row.

// kRows is above 6 where there are 32 vector registers: a tile then takes 24 of
// them, otherwise 12; the rest holds a row of b and the broadcast.
template <class S> struct MatmulTile {
  static constexpr int kRows = 6, kVectors = S::kRows > 6 ? 4 : 2;
};

template <class S, int kVectors>
ATTENTIVE_INLINE void matmul_store_row(const PanelProduct<typename S::Scalar> &p,
                                       const typename S::V *sums, typename S::Scalar *c) {
  ATTENTIVE_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const int at = v * S::kLanes;
    typename S::V x = sums[v];
    if (v + 1 < kVectors || p.last_columns == S::kLanes) {
      if (p.bias != nullptr)
        x = S::add(x, S::load(p.bias + at));
      if (p.accumulate)
        x = S::add(x, S::load(c + at));
      S::store(c + at, x);
    } else {
      if (p.bias != nullptr)
        x = S::add(x, S::load_first(p.bias + at, p.last_columns));
      if (p.accumulate)
        x = S::add(x, S::load_first(c + at, p.last_columns));
      S::store_first(c + at, x, p.last_columns);
    }
  }
}

template <class S, int kRows, int kVectors>
void matmul_tile(const PanelProduct<typename S::Scalar> &p, std::ptrdiff_t row) {
  using T = typename S::Scalar;
  typename S::V sums[kRows][kVectors];
  const T *a[kRows];
  ATTENTIVE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    a[r] = p.a + (row + r) * p.a_stride;
    ATTENTIVE_UNROLL
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = S::zero();
  }
  const T *b = p.b;
  const std::ptrdiff_t depth = p.depth, b_stride = p.b_stride;
  for (std::ptrdiff_t k = 0; k < depth; ++k, b += b_stride) {
    typename S::V columns[kVectors];
    ATTENTIVE_UNROLL
    for (int v = 0; v < kVectors; ++v)
      columns[v] = S::load(b + v * S::kLanes);
    ATTENTIVE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const typename S::V entry = S::set(a[r][k]);
      ATTENTIVE_UNROLL
      for (int v = 0; v < kVectors; ++v)
        sums[r][v] = S::fma(entry, columns[v], sums[r][v]);
    }
  }
  ATTENTIVE_UNROLL
  for (int r = 0; r < kRows; ++r)
    matmul_store_row<S, kVectors>(p, sums[r], p.c + (row + r) * p.c_stride);
}

template <class S, int kVectors> void matmul_rows(const PanelProduct<typename S::Scalar> &p) {
  constexpr int kRows = MatmulTile<S>::kRows;
  std::ptrdiff_t row = 0;
  for (; row + kRows <= p.rows; row += kRows)
    matmul_tile<S, kRows, kVectors>(p, row);
  switch (p.rows - row) {
  case 1:
    return matmul_tile<S, 1, kVectors>(p, row);
  case 2:
    return matmul_tile<S, 2, kVectors>(p, row);
  case 3:
    return matmul_tile<S, 3, kVectors>(p, row);
  case 4:
    return matmul_tile<S, 4, kVectors>(p, row);
  case 5:
    return matmul_tile<S, 5, kVectors>(p, row);
  default:
    return;
  }
}

template <class S> void matmul_panel(const PanelProduct<typename S::Scalar> &p) {
  constexpr int kMost = MatmulTile<S>::kVectors;
  switch (p.vectors) {
  case 1:
    return matmul_rows<S, 1>(p);
  case 2:
    return matmul_rows<S, 2>(p);
  case 3:
    return matmul_rows < S, kMost < 3 ? kMost : 3 > (p);
  default:
    return matmul_rows<S, kMost>(p);
  }
}

template <class S>
void matmul_pack(const typename S::Scalar *src, std::ptrdiff_t stride, std::ptrdiff_t rows,
                 std::ptrdiff_t cols, typename S::Scalar *dst, std::ptrdiff_t width) {
  for (std::ptrdiff_t i = 0; i < rows; ++i, src += stride, dst += width) {
    std::ptrdiff_t j = 0;
    for (; j + S::kLanes <= cols; j += S::kLanes)
      S::store(dst + j, S::load(src + j));
    if (j < width)
      S::store(dst + j, S::load_first(src + j, static_cast<int>(cols - j)));
  }
}

template <class S>
void matmul_transpose(const typename S::Scalar *src, std::ptrdiff_t src_stride, std::ptrdiff_t rows,
                      std::ptrdiff_t cols, typename S::Scalar *dst, std::ptrdiff_t dst_stride) {
  constexpr int kBlock = S::kBlock;
  const std::ptrdiff_t whole_cols = cols - cols % kBlock;
  std::ptrdiff_t i = 0;
  for (; i + kBlock <= rows; i += kBlock) {
    const typename S::Scalar *from[kBlock];
    for (std::ptrdiff_t j = 0; j < whole_cols; j += kBlock) {
      for (int r = 0; r < kBlock; ++r)
        from[r] = src + (i + r) * src_stride + j;
      S::transpose(from, dst + j * dst_stride + i, dst_stride, 1);
    }
    for (std::ptrdiff_t j = whole_cols; j < cols; ++j)
      for (std::ptrdiff_t r = i; r < i + kBlock; ++r)
        dst[j * dst_stride + r] = src[r * src_stride + j];
  }
  for (; i < rows; ++i)
    for (std::ptrdiff_t j = 0; j < cols; ++j)
      dst[j * dst_stride + i] = src[i * src_stride + j];
}

template <class S> MatmulKernels<typename S::Scalar> matmul_kernels() {
  MatmulKernels<typename S::Scalar> kernels;
  kernels.lanes = S::kLanes;
  kernels.panel_vectors = MatmulTile<S>::kVectors;
  kernels.tile_rows = MatmulTile<S>::kRows;
  kernels.panel = matmul_panel<S>;
  kernels.pack = matmul_pack<S>;
  kernels.transpose = matmul_transpose<S>;
  return kernels;
}
