// x[outer, time, inner] -> [outer, inner]: the mean or the maximum over time.
#include "node_loops.h"

namespace attentive {
namespace {

struct PoolingOptions {
  double axis = 1;
  bool keepdims = false;
};

template <class T> class PoolingNode : public Node<T> {
public:
  PoolingNode(NodeLinks links, const PoolingOptions &options)
      : Node<T>(std::move(links)), options_(options) {}

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run).dims;
    const std::size_t axis = resolve_axis(options_.axis, dims);
    split_ = split_at(dims, axis);
    batch_ = dims[0];
    const MaskValue *mask = this->mask(run);
    if (mask != nullptr && mask->dims != Dims({batch_, split_.size}))
      throw std::invalid_argument("the mask of a pooling has the shape [batch, time]");
    Dims out = dims;
    if (options_.keepdims)
      out[axis] = 1;
    else
      out.erase(out.begin() + static_cast<std::ptrdiff_t>(axis));
    this->output(run).dims = out;
  }

protected:
  // The mask of a row of x[outer, ...] over time, or null.
  const std::uint8_t *mask_of(Run<T> &run, Index outer) const {
    const MaskValue *mask = this->mask(run);
    return mask == nullptr ? nullptr
                           : mask->data.data() + outer / (split_.outer / batch_) * split_.size;
  }
  template <class Body> void for_rows(Run<T> &run, const Body &body) {
    for_row_parts(split_.outer, split_.size * split_.inner, run.execution,
                  [&](Index first, Index last) {
                    for (Index outer = first; outer < last; ++outer)
                      body(outer);
                  });
  }

  PoolingOptions options_;
  AxisSplit split_;
  Index batch_ = 0;
};

template <class T> class AveragePoolingNode final : public PoolingNode<T> {
public:
  using PoolingNode<T>::PoolingNode;

  void forward(Run<T> &run) override {
    const auto [outer_rows, times, inner] = this->split_;
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    this->for_rows(run, [&, times = times, inner = inner](Index outer) {
      const std::uint8_t *real = this->mask_of(run, outer);
      const double kept = real_times(real, times);
      constexpr Index kColumns = 64;
      for (Index first = 0; first < inner; first += kColumns) {
        const Index size = std::min(kColumns, inner - first);
        double sum[kColumns] = {};
        for (Index t = 0; t < times; ++t)
          if (real == nullptr || real[t] != 0)
            for (Index i = 0; i < size; ++i)
              sum[i] += static_cast<double>(x[(outer * times + t) * inner + first + i]);
        for (Index i = 0; i < size; ++i)
          y[outer * inner + first + i] = kept == 0 ? T(0) : static_cast<T>(sum[i] / kept);
      }
    });
  }

  void backward(Run<T> &run) override {
    const Index times = this->split_.size, inner = this->split_.inner;
    const T *d_y = this->output(run).gradient.data();
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    this->for_rows(run, [&](Index outer) {
      const std::uint8_t *real = this->mask_of(run, outer);
      const T share = static_cast<T>(1 / std::max(1.0, real_times(real, times)));
      for (Index t = 0; t < times; ++t) {
        const bool seen = real == nullptr || real[t] != 0;
        const T *from = d_y + outer * inner;
        write_gradient<T>({d_x.data + (outer * times + t) * inner, d_x.accumulate}, 0, inner,
                          [&](Index i) { return seen ? from[i] * share : T(0); });
      }
    });
  }

private:
  static double real_times(const std::uint8_t *real, Index times) {
    Index kept = times;
    for (Index t = 0; t < times && real != nullptr; ++t)
      kept -= real[t] == 0;
    return static_cast<double>(kept);
  }
};

template <class T> class MaxPoolingNode final : public PoolingNode<T> {
public:
  using PoolingNode<T>::PoolingNode;

  void plan(Run<T> &run) override {
    PoolingNode<T>::plan(run);
    if (this->split_.size == 0)
      throw std::invalid_argument("there is no maximum over no time steps");
  }

  void forward(Run<T> &run) override {
    const Index times = this->split_.size, inner = this->split_.inner;
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    this->for_rows(run, [&](Index outer) {
      T *to = y + outer * inner;
      std::copy_n(x + outer * times * inner, inner, to);
      for (Index t = 1; t < times; ++t) {
        const T *from = x + (outer * times + t) * inner;
        for (Index i = 0; i < inner; ++i)
          to[i] = from[i] > to[i] || from[i] != from[i] ? from[i] : to[i]; // NaN stays
      }
    });
  }

  // Times that share the maximum share its gradient.
  void backward(Run<T> &run) override {
    const Index times = this->split_.size, inner = this->split_.inner;
    const T *x = this->input(run).data.data(), *y = this->output(run).data.data();
    const T *d_y = this->output(run).gradient.data();
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    Buffer<T> shares(this->split_.outer * inner, T(0));
    this->for_rows(run, [&](Index outer) {
      T *share = shares.data() + outer * inner;
      const T *top = y + outer * inner, *in = x + outer * times * inner;
      for (Index t = 0; t < times; ++t)
        for (Index i = 0; i < inner; ++i)
          share[i] += T(in[t * inner + i] == top[i]);
      for (Index i = 0; i < inner; ++i)
        share[i] = d_y[outer * inner + i] / std::max(share[i], T(1));
      for (Index t = 0; t < times; ++t)
        write_gradient<T>({d_x.data + (outer * times + t) * inner, d_x.accumulate}, 0, inner,
                          [&](Index i) { return in[t * inner + i] == top[i] ? share[i] : T(0); });
    });
  }
};

PoolingOptions read_options(const NodeOptions &options) {
  return {options.number("axis", 1), options.flag("keepdims")};
}

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_average_pooling_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<AveragePoolingNode<T>>(std::move(links), read_options(options));
}
template <class T>
std::unique_ptr<Node<T>> make_max_pooling_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<MaxPoolingNode<T>>(std::move(links), read_options(options));
}
ATTENTIVE_MAKER(make_average_pooling_node)
ATTENTIVE_MAKER(make_max_pooling_node)

} // namespace attentive
