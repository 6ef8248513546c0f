// What matmul.cpp asks of one instruction set.
#pragma once

#include "../tensor.h"

namespace attentive {

// c[rows, columns] (+)= a[rows, depth] b[depth, columns] (+ bias) for a panel of
// a few vectors of columns. a has its columns, b and c their rows contiguous.
// Each entry is summed over depth in order, by itself: its bits depend on
// nothing but its row of a and its column of b.
template <class T> struct PanelProduct {
  Index rows = 0, depth = 0;
  const T *a = nullptr, *b = nullptr, *bias = nullptr; // bias may be null
  T *c = nullptr;
  Index a_stride = 0, b_stride = 0, c_stride = 0;
  int vectors = 0;      // of b and c, 1 ... panel_vectors; whole ones are read of b
  int last_columns = 0; // columns of c in the last vector
  bool accumulate = false;
};

template <class T> struct MatmulKernels {
  int lanes = 0, panel_vectors = 0, tile_rows = 0;
  void (*panel)(const PanelProduct<T> &product) = nullptr;
  // dst[i * width + j] = src[i * stride + j], 0 for cols <= j < width; width is a
  // multiple of lanes.
  void (*pack)(const T *src, Index stride, Index rows, Index cols, T *dst, Index width) = nullptr;
  // dst[j * dst_stride + i] = src[i * src_stride + j].
  void (*transpose)(const T *src, Index src_stride, Index rows, Index cols, T *dst,
                    Index dst_stride) = nullptr;
};

} // namespace attentive
