// activation(x[..., D] kernel[D, P] + bias[P]) -> [..., P]
#include "node_activation.h"
#include "projection.h"

namespace attentive {
namespace {

// weights: kernel, bias (or none)
template <class T> class DenseNode final : public Node<T> {
public:
  DenseNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), units_(static_cast<Index>(options.number("units", 0))),
        activation_(options.text("activation", "linear"), options) {}

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run).dims;
    features_ = dims.back();
    rows_ = count(Dims(dims.begin(), dims.end() - 1));
    Dims out = dims;
    out.back() = units_;
    this->output(run).dims = out;
    if (activation_.needs_x())
      bent_ = Buffer<T>(rows_ * units_);
    if (!activation_.linear())
      d_bent_ = Buffer<T>(rows_ * units_);
  }

  void forward(Run<T> &run) override {
    Value<T> &y = this->output(run);
    T *before = activation_.needs_x() ? bent_.data() : y.data.data();
    projection_forward<T>(this->input(run).data.data(), dense(run), rows_, features_, units_,
                          before, run.execution);
    if (!activation_.linear())
      activation_.forward(before, y.data.data(), y.dims, run.execution);
  }

  void backward(Run<T> &run) override {
    const Value<T> &y = this->output(run);
    const T *d_y = y.gradient.data();
    if (!activation_.linear()) {
      activation_.backward(activation_.needs_x() ? bent_.data() : y.data.data(), y.data.data(), d_y,
                           {d_bent_.data(), false}, y.dims, run.execution);
      d_y = d_bent_.data();
    }
    add_projection_weights(this->input(run).data.data(), d_y, rows_, features_, units_,
                           this->weight_gradient(run, 0), this->weight_gradient(run, 1), run);
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data != nullptr)
      projection_backward_input<T>(d_y, dense(run), rows_, features_, units_, d_x.accumulate,
                                   d_x.data, run.execution);
  }

private:
  Dense<const T> dense(Run<T> &run) const {
    const Weight<T> *bias = this->weight(run, 1);
    return {this->weight(run, 0)->data, bias == nullptr ? nullptr : bias->data};
  }

  Index units_, rows_ = 0, features_ = 0;
  LayerActivation<T> activation_;
  Buffer<T> bent_, d_bent_; // what the activation bends, where it must be kept; its gradient
};

} // namespace

template <class T>
void add_projection_weights(const T *x, const T *d_y, Index rows, Index features, Index columns,
                            GradientPlace<T> kernel, GradientPlace<T> bias, Run<T> &run) {
  // a shared layer adds to what its other uses have written
  Buffer<T> kernel_part(kernel.accumulate ? features * columns : 0);
  Buffer<T> bias_part(bias.accumulate ? columns : 0);
  projection_backward_weights<T>(x, d_y, rows, features, columns,
                                 {kernel.accumulate ? kernel_part.data() : kernel.data,
                                  bias.accumulate ? bias_part.data() : bias.data},
                                 run.execution);
  for (Index i = 0; i < kernel_part.size(); ++i)
    kernel.data[i] += kernel_part[i];
  for (Index i = 0; i < bias_part.size(); ++i)
    bias.data[i] += bias_part[i];
}

template void add_projection_weights<float>(const float *, const float *, Index, Index, Index,
                                            GradientPlace<float>, GradientPlace<float>,
                                            Run<float> &);
template void add_projection_weights<double>(const double *, const double *, Index, Index, Index,
                                             GradientPlace<double>, GradientPlace<double>,
                                             Run<double> &);

template <class T>
std::unique_ptr<Node<T>> make_dense_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<DenseNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_dense_node)

} // namespace attentive
