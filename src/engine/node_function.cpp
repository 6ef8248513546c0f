// A function from outside: arrays in, an array out.
#include <algorithm>
#include <stdexcept>

#include "nodes.h"

namespace attentive {
namespace {

template <class T> Array as_array(const Dims &dims, const Buffer<T> &data) {
  Array array{dims, Buffer<double>(data.size())};
  std::copy(data.data(), data.data() + data.size(), array.data.data());
  return array;
}

template <class T> class FunctionNode final : public Node<T> {
public:
  FunctionNode(NodeLinks links, std::shared_ptr<const NodeFunction> function)
      : Node<T>(std::move(links)), function_(std::move(function)) {}

  void plan(Run<T> &run) override {
    std::vector<Dims> dims;
    for (std::size_t i = 0; i < this->links().inputs.size(); ++i)
      dims.push_back(this->input(run, i).dims);
    this->output(run).dims = function_->shape(dims);
  }

  bool separable() const override { return false; }

  void forward(Run<T> &run) override {
    Value<T> &out = this->output(run);
    const Array made = function_->forward(arrays(run));
    if (made.dims != out.dims)
      throw std::invalid_argument("a function inside the model gave an unexpected shape");
    std::transform(made.data.data(), made.data.data() + made.data.size(), out.data.data(),
                   [](double x) { return static_cast<T>(x); });
  }

  void backward(Run<T> &run) override {
    bool wanted = false;
    for (std::size_t i = 0; i < this->links().inputs.size(); ++i)
      wanted = wanted || this->input(run, i).wants_gradient;
    if (!wanted)
      return;
    if (!function_->backward)
      throw std::invalid_argument(
          "a function inside the model has no gradient, so that nothing before it can be trained");
    const Value<T> &out = this->output(run);
    const std::vector<Array> d_inputs =
        function_->backward(arrays(run), as_array(out.dims, out.gradient));
    for (std::size_t i = 0; i < this->links().inputs.size(); ++i)
      add(d_inputs.at(i), this->input_gradient(run, i), this->input(run, i).dims);
  }

private:
  std::vector<Array> arrays(Run<T> &run) const {
    std::vector<Array> all;
    for (std::size_t i = 0; i < this->links().inputs.size(); ++i)
      all.push_back(as_array(this->input(run, i).dims, this->input(run, i).data));
    return all;
  }

  static void add(const Array &gradient, GradientPlace<T> place, const Dims &dims) {
    if (place.data == nullptr)
      return;
    if (gradient.dims != dims)
      throw std::invalid_argument("the gradient of a function does not have its input's shape");
    for (Index i = 0; i < gradient.data.size(); ++i) {
      const T d = static_cast<T>(gradient.data[i]);
      place.data[i] = place.accumulate ? place.data[i] + d : d;
    }
  }

  std::shared_ptr<const NodeFunction> function_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_function_node(NodeLinks links, const NodeOptions &options) {
  if (options.function == nullptr)
    throw std::invalid_argument("a node \"function\" has no function");
  return std::make_unique<FunctionNode<T>>(std::move(links), options.function);
}

template std::unique_ptr<Node<float>> make_function_node<float>(NodeLinks, const NodeOptions &);
template std::unique_ptr<Node<double>> make_function_node<double>(NodeLinks, const NodeOptions &);

} // namespace attentive
