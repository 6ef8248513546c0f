// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta for every channel: in
// training with the statistics of the batch, which the moving ones follow, else
// with the moving ones.
#include <cmath>

#include "node_loops.h"

namespace attentive {
namespace {

// What keeps the statistics of no position at all finite, as in Keras.
constexpr double kNoPosition = 1e-7;

enum BatchNormalizationWeights { kGamma, kBeta, kMovingMean, kMovingVariance };

// Letters: C channels, N positions (with a mask those that count).
template <class T> class BatchNormalizationNode final : public SameShapeNode<T> {
public:
  BatchNormalizationNode(NodeLinks links, const NodeOptions &options)
      : SameShapeNode<T>(std::move(links)), axis_(options.number("axis", -1)),
        epsilon_(options.number("epsilon", 0.001)), momentum_(options.number("momentum", 0.99)),
        inference_(options.flag("inference")) {}

  bool separable_in_training() const override { return inference_; }

  void plan(Run<T> &run) override {
    SameShapeNode<T>::plan(run);
    const Dims &dims = this->input(run).dims;
    split_ = split_at(dims, resolve_axis(axis_, dims));
    const MaskValue *mask = this->mask(run);
    if (mask != nullptr &&
        (mask->dims.size() > dims.size() ||
         !std::equal(mask->dims.begin(), mask->dims.end(), dims.begin())))
      throw std::invalid_argument("a mask must have the first dimensions of its tensor");
    const Index masked = mask == nullptr ? 0 : count(mask->dims);
    under_mask_ = masked == 0 ? 1 : count(dims) / masked;
    mean_ = Buffer<double>(split_.size);
    scale_ = Buffer<double>(split_.size);
    counted_ = Buffer<double>(split_.size);
  }

  void forward(Run<T> &run) override {
    if (measures(run))
      measure(run);
    else
      for (Index c = 0; c < split_.size; ++c)
        set_channel(c, static_cast<double>(this->weight(run, kMovingMean)->data[c]),
                    static_cast<double>(this->weight(run, kMovingVariance)->data[c]));
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    for_channels(run, [&](Index c, Index first, Index last) {
      const T mean = static_cast<T>(mean_[c]), beta = number(run, kBeta, c, 0);
      const T scale = static_cast<T>(scale_[c]) * number(run, kGamma, c, 1);
      for (Index i = first; i < last; ++i)
        y[i] = (x[i] - mean) * scale + beta;
    });
  }

  // With g = d_y gamma, s = 1 / sqrt(variance + epsilon), u = (x - mean) s, w = 1 where a
  // position counts and M what the sums were divided by (N, with a mask a little more):
  //   d_x = s g + w / M (d_mean + 2 d_variance (x - mean - (M - N) mean / M))
  //   d_mean = -s sum(g),  d_variance = -s^2 / 2 sum(g u)
  void backward(Run<T> &run) override {
    const T *x = this->input(run).data.data(), *d_y = this->output(run).gradient.data();
    const MaskValue *mask = this->mask(run);
    const Buffer<double> sums = channel_sums(run, 2, [&](Index i, Index c, double *sum) {
      const double d = static_cast<double>(d_y[i]);
      if (d == 0 && !counts(mask, i))
        return; // nothing comes back from there, not even from NaN
      sum[0] += d;
      sum[1] += d * (static_cast<double>(x[i]) - mean_[c]) * scale_[c];
    });
    const GradientPlace<T> d_gamma = this->weight_gradient(run, kGamma);
    const GradientPlace<T> d_beta = this->weight_gradient(run, kBeta);
    if (d_gamma.data != nullptr)
      write_gradient(d_gamma, 0, split_.size,
                     [&](Index c) { return static_cast<T>(sums[2 * c + 1]); });
    if (d_beta.data != nullptr)
      write_gradient(d_beta, 0, split_.size,
                     [&](Index c) { return static_cast<T>(sums[2 * c]); });
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data != nullptr)
      input_backward(run, x, d_y, sums, d_x);
  }

private:
  bool measures(const Run<T> &run) const { return run.training && !inference_; }

  T number(Run<T> &run, std::size_t which, Index c, T otherwise) const {
    const Weight<T> *weight = this->weight(run, which);
    return weight == nullptr ? otherwise : weight->data[c];
  }

  void set_channel(Index c, double mean, double variance) {
    mean_[c] = mean;
    scale_[c] = 1 / std::sqrt(variance + epsilon_);
  }

  // body(c, first, last): the numbers first <= i < last are of channel c.
  template <class Body> void for_channels(Run<T> &run, const Body &body) {
    const Index channels = split_.size, inner = split_.inner;
    for_row_parts(split_.outer, channels * inner, run.execution, [&](Index first, Index last) {
      for (Index row = first * channels; row < last * channels; ++row)
        body(row % channels, row * inner, (row + 1) * inner);
    });
  }

  // Sums for every channel, `each` of them side by side; body(i, c, sum) adds number i. Parts
  // of the positions, then their sums in order.
  template <class Body>
  Buffer<double> channel_sums(Run<T> &run, Index each, const Body &body) const {
    const Index channels = split_.size, inner = split_.inner, width = channels * inner;
    const Index rows = std::max<Index>(1, kElementsOfTask / std::max<Index>(1, width));
    const Index parts = (split_.outer + rows - 1) / rows, size = each * channels;
    Buffer<double> partial(parts * size, 0.0), total(size, 0.0);
    for_parts(parts, 1, run.execution, [&](Index begin, Index end) {
      for (Index part = begin; part < end; ++part)
        for (Index o = part * rows; o < std::min((part + 1) * rows, split_.outer); ++o)
          for (Index c = 0; c < channels; ++c)
            for (Index i = o * width + c * inner; i < o * width + (c + 1) * inner; ++i)
              body(i, c, partial.data() + part * size + c * each);
    });
    for (Index part = 0; part < parts; ++part)
      for (Index j = 0; j < size; ++j)
        total[j] += partial[part * size + j];
    return total;
  }

  bool counts(const MaskValue *mask, Index i) const {
    return mask == nullptr || mask->data[i / under_mask_] != 0;
  }

  void measure(Run<T> &run) {
    const T *x = this->input(run).data.data();
    const MaskValue *mask = this->mask(run);
    const Buffer<double> sums = channel_sums(run, 2, [&](Index i, Index, double *sum) {
      if (!counts(mask, i))
        return; // whatever stands there
      sum[0] += static_cast<double>(x[i]);
      sum[1] += 1;
    });
    more_ = mask == nullptr ? 0 : kNoPosition;
    for (Index c = 0; c < split_.size; ++c) {
      counted_[c] = sums[2 * c + 1];
      mean_[c] = sums[2 * c] / (counted_[c] + more_);
    }
    const Buffer<double> squares = channel_sums(run, 1, [&](Index i, Index c, double *sum) {
      const double from_mean = static_cast<double>(x[i]) - mean_[c];
      sum[0] += counts(mask, i) ? from_mean * from_mean : 0;
    });
    if (split_.outer * split_.inner == 0)
      return; // no numbers, no statistics
    T *moving_mean = pending_place(*this->weight(run, kMovingMean));
    T *moving_variance = pending_place(*this->weight(run, kMovingVariance));
    const auto follow = [&](T &moving, double now) {
      moving = static_cast<T>(static_cast<double>(moving) * momentum_ + now * (1 - momentum_));
    };
    for (Index c = 0; c < split_.size; ++c) {
      const double variance = squares[c] / (counted_[c] + more_);
      follow(moving_mean[c], mean_[c]);
      follow(moving_variance[c], variance);
      set_channel(c, mean_[c], variance);
    }
  }

  void input_backward(Run<T> &run, const T *x, const T *d_y, const Buffer<double> &sums,
                      GradientPlace<T> d_x) {
    const MaskValue *mask = this->mask(run);
    const bool measured = measures(run);
    for_channels(run, [&](Index c, Index first, Index last) {
      const double gamma = static_cast<double>(number(run, kGamma, c, 1)), s = scale_[c];
      const double divisor = counted_[c] + more_;
      const double d_mean = measured ? -s * gamma * sums[2 * c] / divisor : 0;
      const double d_variance = measured ? -s * s * gamma * sums[2 * c + 1] / divisor : 0;
      const double center = measured ? mean_[c] * (1 + more_ / divisor) : 0;
      write_gradient(d_x, first, last, [&](Index i) {
        double d = s * gamma * static_cast<double>(d_y[i]);
        if (measured && counts(mask, i))
          d += d_mean + d_variance * (static_cast<double>(x[i]) - center);
        return static_cast<T>(d);
      });
    });
  }

  double axis_, epsilon_, momentum_;
  bool inference_;
  AxisSplit split_;
  Index under_mask_ = 1; // numbers of x for one of the mask
  double more_ = 0;      // M - N
  Buffer<double> mean_, scale_, counted_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_batch_normalization_node(NodeLinks links,
                                                       const NodeOptions &options) {
  return std::make_unique<BatchNormalizationNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_batch_normalization_node)

} // namespace attentive
