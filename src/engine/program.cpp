#include "program.h"

#include <algorithm>

namespace attentive {

template <class T> Program<T>::Program(const ProgramPlan &plan) : plan_(plan) {
  run_.values.resize(static_cast<std::size_t>(plan.values));
  run_.masks.resize(static_cast<std::size_t>(plan.masks));
  run_.weights.resize(static_cast<std::size_t>(plan.weights));
  nodes_.reserve(plan.nodes.size());
  for (const ProgramNode &node : plan.nodes)
    nodes_.push_back(make_node<T>(node.op, node.links, node.options));
}

template <class T> void Program<T>::prepare(const std::vector<Dims> &inputs) {
  if (inputs == planned_)
    return;
  planned_.clear(); // a plan that throws half-way is no plan
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Value<T> &value = run_.values[static_cast<std::size_t>(plan_.inputs[i])];
    value.dims = inputs[i];
    value.data = Buffer<T>(count(inputs[i]));
  }
  for (const auto &node : nodes_) {
    node->plan(run_);
    for (int output : node->links().outputs) {
      Value<T> &value = run_.values[static_cast<std::size_t>(output)];
      value.data = Buffer<T>(count(value.dims));
    }
    for (int output : node->links().mask_outputs) {
      MaskValue &mask = run_.masks[static_cast<std::size_t>(output)];
      mask.data = Buffer<std::uint8_t>(count(mask.dims));
    }
  }
  planned_ = inputs;
}

template <class T> bool Program<T>::separable() const {
  return !plan_.whole_batch && std::all_of(nodes_.begin(), nodes_.end(),
                                           [](const auto &node) { return node->separable(); });
}

template <class T> Program<T> &Program<T>::copy(std::size_t i) {
  while (copies_.size() <= i)
    copies_.push_back(std::make_unique<Program>(plan_));
  Run<T> &to = copies_[i]->run_;
  for (std::size_t w = 0; w < run_.weights.size(); ++w) {
    to.weights[w].data = run_.weights[w].data;
    to.weights[w].size = run_.weights[w].size;
    to.weights[w].wants_gradient = run_.weights[w].wants_gradient;
  }
  to.training = run_.training;
  to.call = run_.call;
  to.execution = run_.execution;
  return *copies_[i];
}

template <class T>
Index Program<T>::remembered(const std::vector<Dims> &dims, Index count,
                             const std::function<Index()> &compute) {
  const auto found = remembered_.find({dims, count});
  if (found != remembered_.end())
    return found->second;
  return remembered_[{dims, count}] = compute();
}

template <class T> void Program<T>::forward() {
  run_.loss = 0;
  for (const auto &node : nodes_)
    node->forward(run_);
}

template <class T> void Program<T>::begin_backward(bool inputs_too) {
  for (Value<T> &value : run_.values)
    value.wants_gradient = value.has_gradient = false;
  for (Weight<T> &weight : run_.weights)
    weight.has_gradient = false;
  for (int i : plan_.inputs)
    value(i).wants_gradient = inputs_too;
  for (const auto &node : nodes_) {
    bool wants = false;
    for (int i : node->links().inputs)
      wants = wants || run_.values[static_cast<std::size_t>(i)].wants_gradient;
    for (int i : node->links().weights)
      wants = wants || (i >= 0 && run_.weights[static_cast<std::size_t>(i)].wants_gradient);
    for (int i : node->links().outputs)
      run_.values[static_cast<std::size_t>(i)].wants_gradient = wants;
  }
}

template <class T> void Program<T>::backward() {
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    bool arrived = false;
    for (int i : (*node)->links().outputs)
      arrived = arrived || run_.values[static_cast<std::size_t>(i)].has_gradient;
    if (arrived)
      (*node)->backward(run_);
  }
}

template class Program<float>;
template class Program<double>;

} // namespace attentive
