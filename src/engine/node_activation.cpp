// Activations as nodes of their own; dense fuses one (node_dense.cpp).
#include "node_activation.h"

namespace attentive {
namespace {

template <class T> class ActivationNode final : public SameShapeNode<T> {
public:
  ActivationNode(NodeLinks links, const NodeOptions &options, const std::string &name)
      : SameShapeNode<T>(std::move(links)), activation_(name, options) {}

  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    activation_.forward(x.data.data(), this->output(run).data.data(), x.dims, run.execution);
  }

  void backward(Run<T> &run) override {
    const Value<T> &x = this->input(run), &y = this->output(run);
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data != nullptr)
      activation_.backward(x.data.data(), y.data.data(), y.gradient.data(), d_x, x.dims,
                           run.execution);
  }

private:
  LayerActivation<T> activation_;
};

// a * sigmoid(b), a and b being the halves of x along an axis
template <class T> class GluNode final : public Node<T> {
public:
  GluNode(NodeLinks links, double axis) : Node<T>(std::move(links)), axis_(axis) {}

  void plan(Run<T> &run) override {
    Dims dims = this->input(run).dims;
    const std::size_t axis = resolve_axis(axis_, dims);
    if (dims[axis] % 2 != 0)
      throw std::invalid_argument("glu halves its axis, whose size is odd");
    dims[axis] /= 2;
    const AxisSplit split = split_at(dims, axis);
    outer_ = split.outer;
    half_ = split.size * split.inner;
    this->output(run).dims = dims;
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    for_row_parts(outer_, half_, run.execution, [&](Index first, Index last) {
      for (Index row = first; row < last; ++row) {
        const T *a = x + row * 2 * half_, *b = a + half_;
        for (Index i = 0; i < half_; ++i)
          y[row * half_ + i] = a[i] * sigmoid(b[i]);
      }
    });
  }

  void backward(Run<T> &run) override {
    const T *x = this->input(run).data.data(), *d_y = this->output(run).gradient.data();
    const GradientPlace<T> place = this->input_gradient(run);
    if (place.data == nullptr)
      return;
    for_row_parts(outer_, half_, run.execution, [&](Index first, Index last) {
      for (Index row = first; row < last; ++row) {
        const T *a = x + row * 2 * half_, *b = a + half_, *g = d_y + row * half_;
        const GradientPlace<T> d_a = {place.data + row * 2 * half_, place.accumulate};
        write_gradient(d_a, 0, half_, [&](Index i) { return g[i] * sigmoid(b[i]); });
        write_gradient<T>({d_a.data + half_, place.accumulate}, 0, half_, [&](Index i) {
          const T s = sigmoid(b[i]);
          return g[i] * a[i] * s * (T(1) - s);
        });
      }
    });
  }

private:
  static T sigmoid(T x) { return T(1) / (T(1) + std::exp(-x)); }

  double axis_;
  Index outer_ = 0, half_ = 0;
};

} // namespace

template <class T>
LayerActivation<T>::LayerActivation(const std::string &name, const NodeOptions &options)
    : axis_(options.number("axis", -1)) {
  const std::map<std::string, AxisFunction> along_axis = {
      {"softmax", AxisFunction::softmax},
      {"log_softmax", AxisFunction::log_softmax},
      {"sparsemax", AxisFunction::sparsemax}};
  const auto found = along_axis.find(name);
  if (found != along_axis.end()) {
    axis_function_ = found->second;
    return;
  }
  const bool leaky = name == "leaky_relu", shrink = name == "soft_shrink" || name == "hard_shrink";
  numbers_.negative_slope = options.number("negative_slope", leaky ? 0.2 : 0);
  numbers_.has_max = !options.list("max_value").empty();
  numbers_.max_value = options.number("max_value", 0);
  numbers_.threshold = options.number("threshold", shrink ? 0.5 : 0);
  numbers_.value = options.number("value", 0);
  numbers_.alpha = options.number("alpha", 1);
  numbers_.b = options.number("b", 4);
  std::string rule = name;
  if (name == "relu" && numbers_.negative_slope == 0 && !numbers_.has_max &&
      numbers_.threshold == 0)
    rule = "plain_relu";
  if (name == "gelu" && options.flag("approximate"))
    rule = "tanh_gelu";
  rule_ = find_element_rule<T>(rule);
  if (rule_ == nullptr)
    throw std::invalid_argument("there is no activation \"" + name + "\"");
  linear_ = name == "linear";
}

template <class T>
void LayerActivation<T>::forward(const T *x, T *y, const Dims &dims,
                                 const Execution &execution) const {
  if (rule_ == nullptr) {
    const AxisSplit split = split_at(dims, resolve_axis(axis_, dims));
    axis_function_forward<T>(axis_function_, x, y, split.outer, split.size, split.inner, execution);
    return;
  }
  for_parts(count(dims), kElementsOfTask, execution, [&](Index first, Index last) {
    rule_->forward(x + first, y + first, last - first, numbers_);
  });
}

template <class T>
void LayerActivation<T>::backward(const T *x, const T *y, const T *d_y, GradientPlace<T> d_x,
                                  const Dims &dims, const Execution &execution) const {
  if (rule_ == nullptr) {
    const AxisSplit split = split_at(dims, resolve_axis(axis_, dims));
    axis_function_backward<T>(axis_function_, y, d_y, d_x.data, d_x.accumulate, split.outer,
                              split.size, split.inner, execution);
    return;
  }
  for_parts(count(dims), kElementsOfTask, execution, [&](Index first, Index last) {
    rule_->backward(x + first, y + first, d_y + first, d_x.data + first, last - first,
                    d_x.accumulate, numbers_);
  });
}

template <class T>
std::unique_ptr<Node<T>> make_activation_node(NodeLinks links, const NodeOptions &options) {
  const std::string name = options.text("activation", "linear");
  if (name == "glu")
    return std::make_unique<GluNode<T>>(std::move(links), options.number("axis", -1));
  return std::make_unique<ActivationNode<T>>(std::move(links), options, name);
}

template <class T>
std::unique_ptr<Node<T>> make_unary_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<ActivationNode<T>>(std::move(links), options, options.text("operation"));
}

template class LayerActivation<float>;
template class LayerActivation<double>;
ATTENTIVE_MAKER(make_activation_node)
ATTENTIVE_MAKER(make_unary_node)

} // namespace attentive
