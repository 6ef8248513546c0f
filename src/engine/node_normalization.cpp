// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over some axes.
#include <cmath>

#include "kernels/table.h"
#include "node_loops.h"
#include "permute.h"

namespace attentive {
namespace {

enum class Statistics { mean_variance, variance, mean_square, sum_square };

struct NormalizationOptions {
  std::vector<double> axes;
  double epsilon = 0.001;
  Statistics statistics = Statistics::mean_variance;
};

// Letters: R rows, N numbers of a row, those of the axes. Where the axes are
// not the last ones, x is brought into that order first.
template <class T> class LayerNormalizationNode final : public SameShapeNode<T> {
public:
  LayerNormalizationNode(NodeLinks links, const NormalizationOptions &options)
      : SameShapeNode<T>(std::move(links)), options_(options) {}

  void plan(Run<T> &run) override {
    SameShapeNode<T>::plan(run);
    const Dims &dims = this->input(run).dims;
    std::vector<bool> normalized(dims.size(), false);
    for (double axis : options_.axes)
      normalized[resolve_axis(axis, dims)] = true;
    order_.clear();
    rows_ = size_ = 1;
    for (const bool last : {false, true})
      for (std::size_t i = 0; i < dims.size(); ++i)
        if (normalized[i] == last) {
          order_.push_back(i);
          (last ? size_ : rows_) *= dims[i];
        }
    moves_ = !std::is_sorted(order_.begin(), order_.end());
    const Index moved = moves_ ? rows_ * size_ : 0;
    x_ = Buffer<T>(moved);
    scratch_ = Buffer<T>(moved);
    scratch2_ = Buffer<T>(moved);
    center_ = Buffer<T>(rows_);
    scale_ = Buffer<T>(rows_);
    // the root of the sum is that of the mean, times a number that stands in for gamma
    if (options_.statistics == Statistics::sum_square)
      root_ = Buffer<T>(size_, T(1 / std::sqrt(static_cast<double>(std::max<Index>(size_, 1)))));
  }

  void forward(Run<T> &run) override {
    const Value<T> &in = this->input(run);
    T *out = this->output(run).data.data();
    if (moves_)
      permute(in.data.data(), in.dims, order_, x_.data(), run.execution);
    const T *x = moves_ ? x_.data() : in.data.data();
    T *y = moves_ ? scratch_.data() : out;
    for_row_parts(rows_, size_, run.execution, [&](Index first, Index last) {
      kernels<T>().rows.normalize(rows(run, first, last, x), y + first * size_);
    });
    if (moves_)
      unpermute<T>(y, in.dims, order_, {out, false}, run.execution);
  }

  // With g = d_y gamma and s = 1 / sqrt(variance + epsilon):
  //   centered  d_x = s (g - mean(g) - u mean(g u)), u = (x - mean) s
  //   else      d_x = s g - s^3 (x - center) mean(g x)
  void backward(Run<T> &run) override {
    const Value<T> &out = this->output(run);
    const T *x = moves_ ? x_.data() : this->input(run).data.data(), *d_y = out.gradient.data();
    if (moves_) {
      permute(d_y, out.dims, order_, scratch_.data(), run.execution);
      d_y = scratch_.data();
    }
    weights_backward(run, x, d_y);
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    const GradientPlace<T> to = moves_ ? GradientPlace<T>{scratch2_.data(), false} : d_x;
    for_row_parts(rows_, size_, run.execution, [&](Index first, Index last) {
      kernels<T>().rows.normalize_backward(rows(run, first, last, x), d_y + first * size_,
                                           to.accumulate, to.data + first * size_);
    });
    if (moves_)
      unpermute<T>(scratch2_.data(), out.dims, order_, d_x, run.execution);
  }

private:
  bool centers() const { return options_.statistics == Statistics::mean_variance; }

  // Rows from `first` on, for the kernels.
  RowNormalization<T> rows(Run<T> &run, Index first, Index last, const T *x) {
    const Weight<T> *gamma = this->weight(run, 0), *beta = this->weight(run, 1);
    RowNormalization<T> norm;
    norm.rows = last - first;
    norm.size = size_;
    norm.centers = centers();
    const bool sums = options_.statistics == Statistics::sum_square;
    norm.measures_center = !sums && options_.statistics != Statistics::mean_square;
    norm.epsilon = static_cast<T>(
        sums ? options_.epsilon / static_cast<double>(std::max<Index>(size_, 1)) : options_.epsilon);
    norm.gamma = sums ? root_.data() : gamma == nullptr ? nullptr : gamma->data;
    norm.beta = beta == nullptr ? nullptr : beta->data;
    norm.x = x + first * size_;
    norm.center = center_.data() + first;
    norm.scale = scale_.data() + first;
    return norm;
  }

  // d_gamma[N] = sum over rows of d_y * normalized x, d_beta[N] = sum of d_y: parts of
  // rows, then their sum in order.
  void weights_backward(Run<T> &run, const T *x, const T *d_y) {
    const GradientPlace<T> d_gamma = this->weight_gradient(run, 0);
    const GradientPlace<T> d_beta = this->weight_gradient(run, 1);
    if ((d_gamma.data == nullptr && d_beta.data == nullptr) || size_ == 0)
      return;
    constexpr Index kRows = 64;
    const Index parts = (rows_ + kRows - 1) / kRows;
    Buffer<T> sums(parts * 2 * size_);
    for_row_parts(parts, kRows * size_, run.execution, [&](Index begin, Index end) {
      for (Index part = begin; part < end; ++part) {
        const Index first = part * kRows, last = std::min(first + kRows, rows_);
        T *gamma = sums.data() + part * 2 * size_;
        kernels<T>().rows.normalize_weights(rows(run, first, last, x), d_y + first * size_, gamma,
                                            gamma + size_);
      }
    });
    const auto total = [&](Index at) {
      double sum = 0;
      for (Index part = 0; part < parts; ++part)
        sum += static_cast<double>(sums[part * 2 * size_ + at]);
      return static_cast<T>(sum);
    };
    if (d_gamma.data != nullptr)
      write_gradient(d_gamma, 0, size_, total);
    if (d_beta.data != nullptr)
      write_gradient(d_beta, 0, size_, [&](Index i) { return total(size_ + i); });
  }

  NormalizationOptions options_;
  std::vector<std::size_t> order_;
  bool moves_ = false;
  Index rows_ = 0, size_ = 0;
  Buffer<T> x_, scratch_, scratch2_, center_, scale_, root_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_layer_normalization_node(NodeLinks links, const NodeOptions &given) {
  NormalizationOptions options;
  options.axes = given.list("axes");
  if (options.axes.empty())
    options.axes = {-1};
  options.epsilon = given.number("epsilon", options.epsilon);
  const std::string statistics = given.text("statistics", "mean_variance");
  if (statistics == "variance")
    options.statistics = Statistics::variance;
  else if (statistics == "mean_square")
    options.statistics = Statistics::mean_square;
  else if (statistics == "sum_square")
    options.statistics = Statistics::sum_square;
  else if (statistics != "mean_variance")
    throw std::invalid_argument("there are no statistics \"" + statistics + "\"");
  return std::make_unique<LayerNormalizationNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_layer_normalization_node)

} // namespace attentive
