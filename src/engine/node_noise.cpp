// y = x + noise or x * noise in training, x itself otherwise. The noise is
// normal; number i of an element of the batch is number i of the stream that its
// place in the batch names, under a key of the step.
#include "node_loops.h"
#include "random.h"

namespace attentive {
namespace {

template <class T> class NoiseNode final : public SameShapeNode<T> {
public:
  NoiseNode(NodeLinks links, const NodeOptions &options)
      : SameShapeNode<T>(std::move(links)), deviation_(options.number("stddev", 0)),
        multiplies_(options.text("operation", "add") == "multiply") {
    const std::vector<double> key = options.list("key");
    if (key.size() == 2)
      key_ = static_cast<std::uint64_t>(key[0]) << 32 | static_cast<std::uint64_t>(key[1]);
    const double use = options.number("use", 0);
    if (use > 0)
      key_ = derive_key(key_, static_cast<std::uint64_t>(use));
  }

  void plan(Run<T> &run) override {
    SameShapeNode<T>::plan(run);
    noise_ = Buffer<T>(count(this->input(run).dims));
  }

  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    T *y = this->output(run).data.data();
    if (!run.training)
      return pass_gradient<T>(x.data.data(), {y, false}, x.data.size(), run.execution);
    const Index batch = x.dims[0], size = batch == 0 ? 0 : x.data.size() / batch;
    const std::uint64_t key = derive_key(key_, run.call);
    for_row_parts(batch, size, run.execution, [&](Index first, Index last) {
      for (Index n = first; n < last; ++n)
        fill_normal(key, static_cast<std::uint64_t>(run.batch_offset + n), multiplies_ ? 1 : 0,
                    deviation_, noise_.data() + n * size, size);
      for (Index i = first * size; i < last * size; ++i)
        y[i] = multiplies_ ? x.data[i] * noise_[i] : x.data[i] + noise_[i];
    });
  }

  void backward(Run<T> &run) override {
    const Value<T> &y = this->output(run);
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    if (!run.training || !multiplies_)
      return pass_gradient(y.gradient.data(), d_x, y.data.size(), run.execution);
    write_gradient(d_x, 0, y.data.size(), [&](Index i) { return y.gradient[i] * noise_[i]; });
  }

private:
  double deviation_;
  bool multiplies_;
  std::uint64_t key_ = 0;
  Buffer<T> noise_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_noise_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<NoiseNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_noise_node)

} // namespace attentive
