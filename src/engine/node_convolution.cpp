// Convolution over the steps of a sequence: for every tap of the kernel a matrix
// product with rows of x, a stride apart. No copy of x is made.
#include "matmul.h"
#include "node_loops.h"
#include "windows.h"

namespace attentive {
namespace {

// Letters: B batch, T steps of x, C channels, F filters, K taps, G groups.
template <class T> class ConvolutionNode final : public Node<T> {
public:
  ConvolutionNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), windows_(Windows::read(options)),
        filters_(static_cast<Index>(options.number("filters", 1))),
        groups_(static_cast<Index>(options.number("groups", 1))) {}

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run).dims;
    if (dims.size() != 3 || dims[2] % groups_ != 0 || filters_ % groups_ != 0)
      throw std::invalid_argument("a convolution takes [batch, steps, channels], the channels "
                                  "and filters multiples of the groups");
    windows_.plan(dims[1]);
    batch_ = dims[0];
    channels_ = dims[2];
    this->output(run).dims = {batch_, windows_.made, filters_};
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data(), *kernel = this->weight(run, 0)->data;
    const Weight<T> *bias = this->weight(run, 1);
    T *y = this->output(run).data.data();
    const Index size = windows_.made * filters_;
    for_samples(run, [&](Index b, const Execution &execution) {
      T *out = y + b * size;
      for (Index i = 0; i < size; ++i)
        out[i] = bias == nullptr ? T(0) : bias->data[i % filters_];
      for_taps([&](Index g, Index k) {
        matmul<T>(rows_of_x(x, b, g, k), block(kernel, g, k), rows_of_y(out, g, k), nullptr, {true},
                  execution);
      });
    });
  }

  void backward(Run<T> &run) override {
    const T *x = this->input(run).data.data(), *kernel = this->weight(run, 0)->data;
    const T *d_y = this->output(run).gradient.data();
    kernel_backward(run, x, d_y);
    bias_backward(run, d_y);
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    const Index size = windows_.steps * channels_;
    for_samples(run, [&](Index b, const Execution &execution) {
      if (!d_x.accumulate)
        std::fill_n(d_x.data + b * size, size, T(0));
      for_taps([&](Index g, Index k) {
        matmul<T>(rows_of_y(d_y + b * windows_.made * filters_, g, k),
                  block(kernel, g, k).transposed(), rows_of_x(d_x.data, b, g, k), nullptr, {true},
                  execution);
      });
    });
  }

private:
  // Samples side by side; a single one shares the threads within.
  template <class Body> void for_samples(Run<T> &run, const Body &body) {
    const Execution within = batch_ == 1 ? run.execution : Execution();
    if (batch_ == 1)
      return body(Index(0), within);
    for_row_parts(batch_, windows_.made * filters_ * windows_.taps, run.execution,
                  [&](Index first, Index last) {
                    for (Index b = first; b < last; ++b)
                      body(b, within);
                  });
  }

  template <class Body> void for_taps(const Body &body) const {
    for (Index g = 0; g < groups_; ++g)
      for (Index k = 0; k < windows_.taps; ++k)
        if (windows_.first(k) < windows_.last(k))
          body(g, k);
  }

  Index width() const { return channels_ / groups_; }
  Index columns() const { return filters_ / groups_; }

  // The rows of a sample that tap k meets, the channels of group g.
  template <class U> MatrixView<U> rows_of_x(U *x, Index b, Index g, Index k) const {
    const Index first = windows_.first(k), place = windows_.place(first, k);
    return {x + (b * windows_.steps + place) * channels_ + g * width(), windows_.last(k) - first,
            width(), windows_.stride * channels_, 1};
  }
  // The rows of a sample's result to which tap k contributes, the filters of group g.
  template <class U> MatrixView<U> rows_of_y(U *y, Index g, Index k) const {
    const Index first = windows_.first(k);
    return {y + first * filters_ + g * columns(), windows_.last(k) - first, columns(), filters_, 1};
  }
  // kernel[k, :, filters of group g]
  template <class U> MatrixView<U> block(U *kernel, Index g, Index k) const {
    return {kernel + k * width() * filters_ + g * columns(), width(), columns(), filters_, 1};
  }

  // The samples in order, the taps side by side.
  void kernel_backward(Run<T> &run, const T *x, const T *d_y) {
    const GradientPlace<T> d_kernel = this->weight_gradient(run, 0);
    if (d_kernel.data == nullptr)
      return;
    if (!d_kernel.accumulate)
      std::fill_n(d_kernel.data, windows_.taps * width() * filters_, T(0));
    const Index tasks = groups_ * windows_.taps;
    const Execution within = tasks == 1 ? run.execution : Execution();
    for_parts(tasks, 1, run.execution, [&](Index begin, Index end) {
      for (Index task = begin; task < end; ++task) {
        const Index g = task / windows_.taps, k = task % windows_.taps;
        if (windows_.first(k) >= windows_.last(k))
          continue;
        for (Index b = 0; b < batch_; ++b)
          matmul<T>(rows_of_x(x, b, g, k).transposed(),
                    rows_of_y(d_y + b * windows_.made * filters_, g, k),
                    block(d_kernel.data, g, k), nullptr, {true}, within);
      }
    });
  }

  void bias_backward(Run<T> &run, const T *d_y) {
    const GradientPlace<T> d_bias = this->weight_gradient(run, 1);
    if (d_bias.data == nullptr)
      return;
    Buffer<double> sums(filters_, 0.0);
    for (Index row = 0; row < batch_ * windows_.made; ++row)
      for (Index f = 0; f < filters_; ++f)
        sums[f] += static_cast<double>(d_y[row * filters_ + f]);
    write_gradient(d_bias, 0, filters_, [&](Index f) { return static_cast<T>(sums[f]); });
  }

  Windows windows_;
  Index filters_, groups_, batch_ = 0, channels_ = 0;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_convolution_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<ConvolutionNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_convolution_node)

} // namespace attentive
