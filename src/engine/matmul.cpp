// Letters: c[M, N] = a[M, K] b[K, N]. K is cut into slices, N into panels of a
// few vectors, M into chunks; a slice of b is packed panel by panel, then every
// chunk of rows meets every panel. Slices depend on K alone and each entry of c
// is one sum over its slice in order, so that its bits depend neither on M, nor
// on the threads, nor on which of the ways below was taken.
#include "matmul.h"

#include <algorithm>

#include "kernels/table.h"

namespace attentive {
namespace {

Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// A row of a tile of a and a panel of b are read once per slice: 2 KiB of a row
// keep the tile in the first cache and a panel in the second.
template <class T> constexpr Index kSlice = 2048 / static_cast<Index>(sizeof(T));
// The packed slice of b is at most 4 MiB.
constexpr Index kBlockColumns = 2048;
// With fewer rows than this, packing b costs more than it saves.
constexpr Index kPackRows = 48;
// Multiply-adds below which a second thread is not worth its waking.
constexpr Index kSerial = 1 << 19;
// Rows of a that one task takes: they stay in the second cache over all panels.
constexpr Index kMostRows = 96;
// Keeps the rows of a transposed chunk off the same cache set.
constexpr Index kPadding = 16;

// One block of columns and one slice of K.
template <class T> class Block {
public:
  Block(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, const T *bias,
        bool accumulate)
      : kernels_(kernels<T>().matmul), a_(a), b_(b), c_(c), bias_(bias), accumulate_(accumulate),
        vectors_(ceil_div(c.cols, kernels_.lanes)),
        panels_(ceil_div(vectors_, kernels_.panel_vectors)) {}

  // Whether any of b has to be packed; numbers needed for it.
  Index packed_size() const {
    return in_place(panels_ - 1) && in_place(0) ? 0 : vectors_ * kernels_.lanes * b_.rows;
  }

  void pack(T *packed, const Execution &execution) {
    packed_ = packed;
    if (packed != nullptr)
      parallel_for(panels_, execution, [this](Index panel, int) { pack_panel(panel); });
  }

  // `scratch`: numbers for one worker's transposed chunk of a.
  void multiply(Index chunk, T *scratch, Index scratch_size, const Execution &execution) const {
    const Index chunks = ceil_div(c_.rows, chunk);
    // Few rows: the panels are shared out as well.
    const Index groups = std::min(panels_, std::max<Index>(1, 4 * execution.threads / chunks));
    parallel_for(chunks * groups, execution, [&](Index task, int worker) {
      const Index row = task / groups * chunk, group = task % groups;
      const Index rows = std::min(chunk, c_.rows - row);
      MatrixView<const T> a{a_.data + row * a_.row_stride, rows, a_.cols, a_.row_stride,
                            a_.col_stride};
      if (a.col_stride != 1)
        a = transposed_copy(a, scratch + worker * scratch_size);
      for (Index panel = panels_ * group / groups; panel < panels_ * (group + 1) / groups; ++panel)
        multiply_panel(a, row, panel);
    });
  }

private:
  Index first_column(Index panel) const { return vectors_ * panel / panels_ * kernels_.lanes; }
  Index end_column(Index panel) const { return std::min(c_.cols, first_column(panel + 1)); }

  bool in_place(Index panel) const {
    return b_.col_stride == 1 && c_.rows < kPackRows &&
           (end_column(panel) - first_column(panel)) % kernels_.lanes == 0;
  }

  Index width(Index panel) const { return first_column(panel + 1) - first_column(panel); }

  void pack_panel(Index panel) {
    if (in_place(panel))
      return;
    const Index first = first_column(panel), cols = end_column(panel) - first;
    const T *src = b_.data + first * b_.col_stride;
    T *dst = packed_ + first * b_.rows;
    if (b_.col_stride == 1)
      return kernels_.pack(src, b_.row_stride, b_.rows, cols, dst, width(panel));
    kernels_.transpose(src, b_.col_stride, cols, b_.rows, dst, width(panel));
    for (Index k = 0; k < b_.rows; ++k)
      std::fill(dst + k * width(panel) + cols, dst + (k + 1) * width(panel), T(0));
  }

  MatrixView<const T> transposed_copy(MatrixView<const T> a, T *scratch) const {
    const Index stride = a.cols + kPadding;
    kernels_.transpose(a.data, a.col_stride, a.cols, a.rows, scratch, stride);
    return {scratch, a.rows, a.cols, stride, 1};
  }

  void multiply_panel(const MatrixView<const T> &a, Index row, Index panel) const {
    const Index first = first_column(panel), cols = end_column(panel) - first;
    PanelProduct<T> product;
    product.rows = a.rows;
    product.depth = a.cols;
    product.a = a.data;
    product.a_stride = a.row_stride;
    product.b = in_place(panel) ? b_.data + first : packed_ + first * b_.rows;
    product.b_stride = in_place(panel) ? b_.row_stride : width(panel);
    product.c = c_.data + row * c_.row_stride + first;
    product.c_stride = c_.row_stride;
    product.bias = bias_ == nullptr ? nullptr : bias_ + first;
    product.vectors = static_cast<int>(width(panel) / kernels_.lanes);
    product.last_columns = static_cast<int>(cols - (product.vectors - 1) * kernels_.lanes);
    product.accumulate = accumulate_;
    kernels_.panel(product);
  }

  const MatmulKernels<T> &kernels_;
  const MatrixView<const T> a_, b_;
  const MatrixView<T> c_;
  const T *bias_;
  const bool accumulate_;
  const Index vectors_, panels_;
  T *packed_ = nullptr;
};

// Multiples of a tile; at least eight chunks a thread, so that all end together.
Index chunk_rows(Index rows, Index tile, int threads) {
  const Index share = threads == 1 ? kMostRows : ceil_div(rows, 8 * threads);
  return ceil_div(std::min(kMostRows, std::max<Index>(share, 2 * tile)), tile) * tile;
}

} // namespace

template <class T>
void matmul(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, const T *bias,
            const MatmulOptions &options, const Execution &execution) {
  if (c.rows == 0 || c.cols == 0)
    return;
  Execution used = execution;
  if (c.rows * c.cols <= kSerial / std::max<Index>(1, a.cols))
    used.threads = 1;
  const Index slices = std::max<Index>(1, ceil_div(a.cols, kSlice<T>));
  const Index slice = ceil_div(a.cols, slices);
  const Index chunk = chunk_rows(c.rows, kernels<T>().matmul.tile_rows, used.threads);
  const Index scratch_size = a.col_stride == 1 ? 0 : chunk * (slice + kPadding);
  Buffer<T> scratch(scratch_size * used.threads), packed;
  for (Index n = 0; n < c.cols; n += kBlockColumns)
    for (Index s = 0; s < slices; ++s) {
      const Index k = s * slice, depth = std::min(slice, a.cols - k);
      const Index cols = std::min(kBlockColumns, c.cols - n);
      Block<T> block(
          {a.data + k * a.col_stride, a.rows, depth, a.row_stride, a.col_stride},
          {b.data + k * b.row_stride + n * b.col_stride, depth, cols, b.row_stride, b.col_stride},
          {c.data + n, c.rows, cols, c.row_stride, 1},
          s > 0 || bias == nullptr ? nullptr : bias + n, s > 0 || options.accumulate);
      if (packed.size() < block.packed_size())
        packed = Buffer<T>(block.packed_size());
      block.pack(block.packed_size() > 0 ? packed.data() : nullptr, used);
      block.multiply(chunk, scratch.data(), scratch_size, used);
    }
}

template void matmul(MatrixView<const float>, MatrixView<const float>, MatrixView<float>,
                     const float *, const MatmulOptions &, const Execution &);
template void matmul(MatrixView<const double>, MatrixView<const double>, MatrixView<double>,
                     const double *, const MatmulOptions &, const Execution &);

} // namespace attentive
