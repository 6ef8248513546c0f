// The packed product against plain sums in double; the same bits for any
// threads, any split of the rows, any transposes.
#include "../../src/engine/cpu.h"
#include "../../src/engine/matmul.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

using attentive::Index;
using attentive::MatrixView;

namespace {

long checks = 0, failures = 0;
double worst = 0; // largest error over its bound
std::mt19937 stream(20261123);

Index pick(Index low, Index high) {
  return std::uniform_int_distribution<Index>(low, high)(stream);
}

void fail(const char *what, Index m, Index n, Index k) {
  ++failures;
  std::fprintf(stderr, "FAILED: %s [%td, %td] with inner %td at %s\n", what, m, n, k,
               attentive::level_name(attentive::active_level()));
}

// A matrix stored by rows or by columns, with room between them and an offset
// that spoils the alignment.
template <class T> struct Matrix {
  Matrix(Index rows, Index cols, bool by_columns)
      : gap(pick(0, 3)), offset(pick(0, 5)),
        store(static_cast<std::size_t>((by_columns ? cols * (rows + gap) : rows * (cols + gap)) +
                                       offset + 8),
              T(77)),
        view{store.data() + offset, rows, cols, by_columns ? 1 : cols + gap,
             by_columns ? rows + gap : 1} {}
  Matrix(const Matrix &from)
      : gap(from.gap), offset(from.offset), store(from.store), view(from.view) {
    view.data = store.data() + offset;
  }
  T &at(Index i, Index j) { return view.data[i * view.row_stride + j * view.col_stride]; }
  MatrixView<const T> read() const {
    return {view.data, view.rows, view.cols, view.row_stride, view.col_stride};
  }
  Index gap, offset;
  std::vector<T> store;
  MatrixView<T> view;
};

template <class T> void fill(Matrix<T> &x) {
  std::normal_distribution<double> normal;
  for (Index i = 0; i < x.view.rows; ++i)
    for (Index j = 0; j < x.view.cols; ++j)
      x.at(i, j) = static_cast<T>(normal(stream));
}

template <class T> Matrix<T> other_order(Matrix<T> &x) {
  Matrix<T> y(x.view.rows, x.view.cols, x.view.col_stride == 1);
  for (Index i = 0; i < x.view.rows; ++i)
    for (Index j = 0; j < x.view.cols; ++j)
      y.at(i, j) = x.at(i, j);
  return y;
}

template <class T> bool same_bits(Matrix<T> &x, Matrix<T> &y) {
  for (Index i = 0; i < x.view.rows; ++i)
    for (Index j = 0; j < x.view.cols; ++j)
      if (std::memcmp(&x.at(i, j), &y.at(i, j), sizeof(T)) != 0)
        return false;
  return true;
}

// Nothing outside of the matrix was written.
template <class T> bool gaps_kept(Matrix<T> &x) {
  std::vector<bool> inside(x.store.size(), false);
  for (Index i = 0; i < x.view.rows; ++i)
    for (Index j = 0; j < x.view.cols; ++j)
      inside[static_cast<std::size_t>(x.offset + i * x.view.row_stride + j)] = true;
  for (std::size_t i = 0; i < inside.size(); ++i)
    if (!inside[i] && x.store[i] != T(77))
      return false;
  return true;
}

template <class T>
void compare(Matrix<T> &a, Matrix<T> &b, const std::vector<T> &bias, bool with_bias,
             Matrix<T> &before, bool accumulate, Matrix<T> &c) {
  const Index depth = a.view.cols;
  const double eps = std::numeric_limits<T>::epsilon();
  for (Index i = 0; i < c.view.rows; ++i)
    for (Index j = 0; j < c.view.cols; ++j) {
      double sum = 0, size = 0;
      for (Index k = 0; k < depth; ++k) {
        const double term = static_cast<double>(a.at(i, k)) * static_cast<double>(b.at(k, j));
        sum += term;
        size += std::fabs(term);
      }
      const double plus = with_bias ? static_cast<double>(bias[static_cast<std::size_t>(j)]) : 0;
      const double old = accumulate ? static_cast<double>(before.at(i, j)) : 0;
      sum += plus + old;
      size += std::fabs(plus) + std::fabs(old);
      // Sums of n terms one after the other; sqrt(n) is what random signs give.
      const double bound = 4 * eps * size * std::sqrt(static_cast<double>(depth) + 4);
      const double error = std::fabs(static_cast<double>(c.at(i, j)) - sum);
      ++checks;
      if (error > 0)
        worst = std::max(worst, error / bound);
      if (!(error <= bound))
        return fail("value", c.view.rows, c.view.cols, depth);
    }
}

template <class T> void check_one(Index m, Index n, Index k) {
  Matrix<T> a(m, k, pick(0, 1) == 1), b(k, n, pick(0, 1) == 1), c(m, n, false);
  fill(a);
  fill(b);
  fill(c);
  std::vector<T> bias(static_cast<std::size_t>(n));
  for (T &x : bias)
    x = static_cast<T>(pick(-3, 3));
  const bool with_bias = pick(0, 1) == 1, accumulate = pick(0, 1) == 1;
  const T *bias_data = with_bias ? bias.data() : nullptr;
  Matrix<T> first = c;
  attentive::matmul<T>(a.read(), b.read(), first.view, bias_data, {accumulate}, {1, nullptr});
  compare(a, b, bias, with_bias, c, accumulate, first);
  if (!gaps_kept(first))
    fail("written outside", m, n, k);

  for (int threads : {2, 3, 8}) {
    Matrix<T> again = c;
    attentive::matmul<T>(a.read(), b.read(), again.view, bias_data, {accumulate},
                         {threads, nullptr});
    if (!same_bits(first, again))
      fail("bits over threads", m, n, k);
    ++checks;
  }
  Matrix<T> turned_a = other_order(a), turned_b = other_order(b), turned = c;
  attentive::matmul<T>(turned_a.read(), turned_b.read(), turned.view, bias_data, {accumulate},
                       {2, nullptr});
  if (!same_bits(first, turned))
    fail("bits over transposes", m, n, k);
  ++checks;

  Matrix<T> parts = c;
  for (Index row = 0; row < m;) {
    const Index rows = std::min(m - row, pick(1, 70));
    MatrixView<const T> a_rows = a.read();
    a_rows.data += row * a_rows.row_stride;
    a_rows.rows = rows;
    MatrixView<T> c_rows = parts.view;
    c_rows.data += row * c_rows.row_stride;
    c_rows.rows = rows;
    attentive::matmul<T>(a_rows, b.read(), c_rows, bias_data, {accumulate}, {1, nullptr});
    row += rows;
  }
  if (!same_bits(first, parts))
    fail("bits over a split of the rows", m, n, k);
  ++checks;
}

template <class T> void check_nan() {
  Matrix<T> a(9, 40, false), b(40, 21, false), c(9, 21, false);
  fill(a);
  fill(b);
  a.at(3, 7) = std::numeric_limits<T>::quiet_NaN();
  b.at(5, 20) = std::numeric_limits<T>::infinity();
  attentive::matmul<T>(a.read(), b.read(), c.view, nullptr, {}, {1, nullptr});
  bool good = true;
  for (Index i = 0; i < 9; ++i)
    for (Index j = 0; j < 21; ++j)
      good = good && std::isnan(c.at(i, j)) == (i == 3) &&
             std::isinf(c.at(i, j)) == (i != 3 && j == 20);
  ++checks;
  if (!good)
    fail("NaN and Inf stay in their row and column", 9, 21, 40);
}

template <class T> void check_type() {
  for (Index m : {0, 1, 5, 6, 7, 47, 48, 50})
    for (Index n : {0, 1, 3, 4, 15, 16, 17, 33, 64, 65, 130})
      for (Index k : {0, 1, 2, 7, 64})
        check_one<T>(m, n, k);
  for (int i = 0; i < 25; ++i)
    check_one<T>(pick(1, 300), pick(1, 300), pick(1, 300));
  check_one<T>(70, 40, 1500); // several slices
  check_one<T>(33, 2100, 30); // several blocks of columns
  check_one<T>(500, 130, 600);
  check_nan<T>();
}

} // namespace

int main() {
  for (attentive::Level level : attentive::available_levels()) {
    attentive::set_level(attentive::level_name(level));
    check_type<float>();
    check_type<double>();
  }
  std::printf("matmul: %ld checks, worst ratio %.3f\n", checks, failures == 0 ? worst : 1e9);
  return failures == 0 ? 0 : 1;
}
