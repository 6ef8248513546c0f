// x -> x, with a penalty on x in the loss, divided by the batch size.
#include "node_loops.h"
#include "regularizers.h"

namespace attentive {
namespace {

template <class T> class ActivityPenaltyNode final : public SameShapeNode<T> {
public:
  ActivityPenaltyNode(NodeLinks links, ElementPenalty penalty)
      : SameShapeNode<T>(std::move(links)), penalty_(penalty) {}

  bool separable() const override { return false; } // it looks at the size of the batch

  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    pass_gradient<T>(x.data.data(), {this->output(run).data.data(), false}, x.data.size(),
                     run.execution);
    if (x.data.size() > 0)
      run.loss += penalty(penalty_, x.data.data(), x.data.size()) * share(x);
  }

  void backward(Run<T> &run) override {
    const Value<T> &x = this->input(run), &y = this->output(run);
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    pass_gradient(y.gradient.data(), d_x, y.data.size(), run.execution);
    penalty_backward(penalty_, x.data.data(), x.data.size(), share(x), d_x.data);
  }

private:
  static double share(const Value<T> &x) { return 1 / static_cast<double>(x.dims[0]); }

  ElementPenalty penalty_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_activity_penalty_node(NodeLinks links, const NodeOptions &options) {
  ElementPenalty penalty;
  penalty.l1 = options.number("l1", 0);
  penalty.l2 = options.number("l2", 0);
  return std::make_unique<ActivityPenaltyNode<T>>(std::move(links), penalty);
}
ATTENTIVE_MAKER(make_activity_penalty_node)

} // namespace attentive
