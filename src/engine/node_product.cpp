// Products over several axes, of which a factor may be a weight.
#include "matmul.h"
#include "node_loops.h"

namespace attentive {
namespace {

// Letters: S shared by all three, R rows, C contracted, O of the factor alone;
// each stands for several axes, or none.
template <class T> class ProductNode final : public Node<T> {
public:
  ProductNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), shared_(static_cast<std::size_t>(options.number("shared", 0))),
        contracted_(static_cast<std::size_t>(options.number("contracted", 1))) {
    for (double size : options.list("dims"))
      factor_.push_back(static_cast<Index>(size));
  }

  void plan(Run<T> &run) override {
    const Dims &a = this->input(run).dims;
    const Dims &b = factor_is_weight() ? factor_ : this->input(run, 1).dims;
    if (a.size() < shared_ + contracted_ || b.size() < shared_ + contracted_)
      throw std::invalid_argument("a factor of a product has too few axes");
    const auto part = [](const Dims &dims, std::size_t from, std::size_t to) {
      return Dims(dims.begin() + static_cast<std::ptrdiff_t>(from),
                  dims.begin() + static_cast<std::ptrdiff_t>(to));
    };
    const std::size_t rows_end = a.size() - contracted_, depth_end = shared_ + contracted_;
    if (part(a, 0, shared_) != part(b, 0, shared_) ||
        part(a, rows_end, a.size()) != part(b, shared_, depth_end))
      throw std::invalid_argument("the factors of a product do not fit together");
    Dims out = part(a, 0, rows_end);
    const Dims columns = part(b, depth_end, b.size());
    blocks_ = count(part(a, 0, shared_));
    rows_ = count(part(a, shared_, rows_end));
    depth_ = count(part(a, rows_end, a.size()));
    columns_ = count(columns);
    out.insert(out.end(), columns.begin(), columns.end());
    this->output(run).dims = out;
  }

  void forward(Run<T> &run) override {
    const T *a = this->input(run).data.data(), *b = factor(run);
    T *y = this->output(run).data.data();
    for (Index s = 0; s < blocks_; ++s)
      matmul<T>(left(a, s), right(b, s), result(y, s), nullptr, {}, run.execution);
  }

  void backward(Run<T> &run) override {
    const T *a = this->input(run).data.data(), *b = factor(run);
    const T *d_y = this->output(run).gradient.data();
    const GradientPlace<T> d_a = this->input_gradient(run);
    const GradientPlace<T> d_b =
        factor_is_weight() ? this->weight_gradient(run, 0) : this->input_gradient(run, 1);
    for (Index s = 0; s < blocks_; ++s) {
      if (d_a.data != nullptr)
        matmul<T>(result(d_y, s), right(b, s).transposed(), left(d_a.data, s), nullptr,
                  {d_a.accumulate}, run.execution);
      if (d_b.data != nullptr)
        matmul<T>(left(a, s).transposed(), result(d_y, s), right(d_b.data, s), nullptr,
                  {d_b.accumulate}, run.execution);
    }
  }

private:
  bool factor_is_weight() const { return this->links().inputs.size() < 2; }
  const T *factor(Run<T> &run) const {
    return factor_is_weight() ? this->weight(run, 0)->data : this->input(run, 1).data.data();
  }
  // The block s of the three.
  template <class U> MatrixView<U> left(U *a, Index s) const {
    return {a + s * rows_ * depth_, rows_, depth_, depth_, 1};
  }
  template <class U> MatrixView<U> right(U *b, Index s) const {
    return {b + s * depth_ * columns_, depth_, columns_, columns_, 1};
  }
  template <class U> MatrixView<U> result(U *y, Index s) const {
    return {y + s * rows_ * columns_, rows_, columns_, columns_, 1};
  }

  std::size_t shared_, contracted_;
  Dims factor_; // where it is a weight
  Index blocks_ = 0, rows_ = 0, depth_ = 0, columns_ = 0;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_product_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<ProductNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_product_node)

} // namespace attentive
