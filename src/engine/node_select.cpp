// a where the mask is set, else b (or a number): shapes broadcast.
#include "broadcast.h"
#include "node_loops.h"

namespace attentive {
namespace {

// inputs: a, b or none; the mask covers the first axes of the result
template <class T> class SelectNode final : public Node<T> {
public:
  SelectNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), otherwise_(static_cast<T>(options.number("otherwise", 0))),
        whole_(options.flag("whole")) {}

  void plan(Run<T> &run) override {
    const Dims a = this->input(run).dims, b = has_b() ? this->input(run, 1).dims : Dims();
    Dims covered = this->mask(run)->dims;
    const std::size_t rank = std::max(a.size(), b.size());
    if (covered.size() > rank)
      throw std::invalid_argument("the mask has more axes than what it selects from");
    passes_ = whole_ && covered.size() < rank;
    covered.resize(rank, 1);
    const Dims dims = broadcast_dims({a, b, covered});
    this->output(run).dims = dims;
    walk_ = broadcast_shapes({dims, a, b, covered});
  }

  void forward(Run<T> &run) override {
    const T *a = this->input(run).data.data();
    const T *b = has_b() ? this->input(run, 1).data.data() : nullptr;
    T *y = this->output(run).data.data();
    const std::uint8_t *mask = this->mask(run)->data.data();
    for_row_parts(walk_.rows(), walk_.row_size(), run.execution, [&](Index first, Index last) {
      for_broadcast(walk_, first, last, [&](const Index *at, Index n, const Index *step) {
        for (Index i = 0; i < n; ++i)
          y[at[0] + i] = passes_ || mask[at[3] + i * step[3]] != 0 ? a[at[1] + i * step[1]]
                         : b == nullptr                            ? otherwise_
                                                                   : b[at[2] + i * step[2]];
      });
    });
  }

  void backward(Run<T> &run) override {
    pass(run, 0, true);
    if (has_b())
      pass(run, 1, false);
  }

private:
  bool has_b() const { return this->links().inputs.size() > 1; }

  // The gradient of one side: what arrives where it was taken, else 0.
  void pass(Run<T> &run, std::size_t side, bool where) {
    const GradientPlace<T> to = this->input_gradient(run, side);
    if (to.data == nullptr)
      return;
    const T *d_y = this->output(run).gradient.data();
    const std::uint8_t *mask = this->mask(run)->data.data();
    if (!to.accumulate)
      std::fill_n(to.data, this->input(run, side).data.size(), T(0));
    for_broadcast(walk_, [&](const Index *at, Index n, const Index *step) {
      for (Index i = 0; i < n; ++i)
        if ((passes_ || mask[at[3] + i * step[3]] != 0) == where)
          to.data[at[side + 1] + i * step[side + 1]] += d_y[at[0] + i];
    });
  }

  T otherwise_;
  bool whole_, passes_ = false;
  Broadcast walk_; // result, a, b, mask
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_select_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<SelectNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_select_node)

} // namespace attentive
