// x[..., D] kernel[D, P] + bias[P] -> [..., P]
#include "nodes.h"
#include "projection.h"

namespace attentive {
namespace {

// weights: kernel, bias (or none)
template <class T> class DenseNode final : public Node<T> {
public:
  DenseNode(NodeLinks links, Index units) : Node<T>(std::move(links)), units_(units) {}

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run).dims;
    features_ = dims.back();
    rows_ = count(dims) / (features_ == 0 ? 1 : features_);
    Dims out = dims;
    out.back() = units_;
    this->output(run).dims = out;
  }

  void forward(Run<T> &run) override {
    projection_forward<T>(this->input(run).data.data(), dense(run), rows_, features_, units_,
                          this->output(run).data.data(), run.execution);
  }

  void backward(Run<T> &run) override {
    const T *d_y = this->output(run).gradient.data();
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

template <class T>
std::unique_ptr<Node<T>> make_dense_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<DenseNode<T>>(std::move(links),
                                        static_cast<Index>(options.number("units", 0)));
}

template void add_projection_weights<float>(const float *, const float *, Index, Index, Index,
                                            GradientPlace<float>, GradientPlace<float>,
                                            Run<float> &);
template void add_projection_weights<double>(const double *, const double *, Index, Index, Index,
                                             GradientPlace<double>, GradientPlace<double>,
                                             Run<double> &);
template std::unique_ptr<Node<float>> make_dense_node<float>(NodeLinks, const NodeOptions &);
template std::unique_ptr<Node<double>> make_dense_node<double>(NodeLinks, const NodeOptions &);

} // namespace attentive
