// Products of matrices: the last two axes, those before broadcast.
#include "broadcast.h"
#include "matmul.h"
#include "node_loops.h"

namespace attentive {
namespace {

constexpr Index kSharedProduct = 1 << 18; // multiplications; more than these share the threads

// a[..., M, K] b[..., K, N] -> [..., M, N]; each may be stored transposed
template <class T> class MatmulNode final : public Node<T> {
public:
  MatmulNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), turned_a_(options.flag("transpose_a")),
        turned_b_(options.flag("transpose_b")) {}

  void plan(Run<T> &run) override {
    Dims a = this->input(run, 0).dims, b = this->input(run, 1).dims;
    if (a.size() < 2 || b.size() < 2)
      throw std::invalid_argument("a product of matrices takes two axes at least");
    const auto sizes = [](Dims &dims, bool turned) {
      const Index columns = dims.back();
      dims.pop_back();
      const Index rows = dims.back();
      dims.pop_back();
      return turned ? std::make_pair(columns, rows) : std::make_pair(rows, columns);
    };
    const auto of_a = sizes(a, turned_a_), of_b = sizes(b, turned_b_);
    if (of_a.second != of_b.first)
      throw std::invalid_argument("matrices of " + std::to_string(of_a.second) + " columns and " +
                                  std::to_string(of_b.first) + " rows have no product");
    Dims out = broadcast_dims({a, b});
    walk_ = broadcast_shapes({out, a, b});
    m_ = of_a.first, k_ = of_a.second, n_ = of_b.second;
    matrices_ = count(out);
    out.push_back(m_);
    out.push_back(n_);
    this->output(run).dims = out;
    if (count(b) == 1 && !turned_a_ && count(a) == matrices_) { // one tall matrix
      m_ *= matrices_;
      matrices_ = 1;
      walk_ = broadcast_shapes({{1}, {1}, {1}});
    }
    places_.clear();
    for_broadcast(walk_, [&](const Index *at, Index n, const Index *step) {
      for (Index i = 0; i < n; ++i)
        places_.push_back({at[1] + i * step[1], at[2] + i * step[2]});
    });
  }

  void forward(Run<T> &run) override {
    const T *a = this->input(run, 0).data.data(), *b = this->input(run, 1).data.data();
    T *y = this->output(run).data.data();
    if (k_ == 0) {
      std::fill_n(y, this->output(run).data.size(), T(0));
      return;
    }
    const auto product = [&](Index i, const Execution &execution) {
      matmul<T>(left(a, i), right(b, i), {y + i * m_ * n_, m_, n_, n_, 1}, nullptr, {}, execution);
    };
    if (matrices_ == 1 || m_ * k_ * n_ >= kSharedProduct) {
      for (Index i = 0; i < matrices_; ++i)
        product(i, run.execution);
      return;
    }
    for_row_parts(matrices_, m_ * k_ * n_ / 8 + 1, run.execution, [&](Index first, Index last) {
      for (Index i = first; i < last; ++i)
        product(i, Execution());
    });
  }

  void backward(Run<T> &run) override {
    const T *a = this->input(run, 0).data.data(), *b = this->input(run, 1).data.data();
    const T *d_y = this->output(run).gradient.data();
    const auto upstream = [&](Index i) {
      return MatrixView<const T>{d_y + i * m_ * n_, m_, n_, n_, 1};
    };
    // d_a = d_y b', d_b = a' d_y; where an input is stored transposed, the transposes of these
    pass(run, 0, [&](Index i, MatrixView<T> to, const MatmulOptions &options) {
      const MatrixView<const T> other = right(b, i);
      if (turned_a_)
        matmul<T>(other, upstream(i).transposed(), to, nullptr, options, run.execution);
      else
        matmul<T>(upstream(i), other.transposed(), to, nullptr, options, run.execution);
    });
    pass(run, 1, [&](Index i, MatrixView<T> to, const MatmulOptions &options) {
      const MatrixView<const T> other = left(a, i);
      if (turned_b_)
        matmul<T>(upstream(i).transposed(), other, to, nullptr, options, run.execution);
      else
        matmul<T>(other.transposed(), upstream(i), to, nullptr, options, run.execution);
    });
  }

private:
  MatrixView<const T> left(const T *a, Index i) const {
    const T *from = a + places_[static_cast<std::size_t>(i)].first * m_ * k_;
    return turned_a_ ? MatrixView<const T>{from, k_, m_, m_, 1}.transposed()
                     : MatrixView<const T>{from, m_, k_, k_, 1};
  }
  MatrixView<const T> right(const T *b, Index i) const {
    const T *from = b + places_[static_cast<std::size_t>(i)].second * k_ * n_;
    return turned_b_ ? MatrixView<const T>{from, n_, k_, k_, 1}.transposed()
                     : MatrixView<const T>{from, k_, n_, n_, 1};
  }

  // The matrices of one side in order; one that is used several times adds up.
  template <class Product> void pass(Run<T> &run, std::size_t side, const Product &product) {
    const GradientPlace<T> to = this->input_gradient(run, side);
    if (to.data == nullptr)
      return;
    const bool turned = side == 0 ? turned_a_ : turned_b_;
    Index rows = side == 0 ? m_ : k_, columns = side == 0 ? k_ : n_;
    const Index size = rows * columns;
    if (turned)
      std::swap(rows, columns);
    const Index all = this->input(run, side).data.size();
    if (matrices_ == 0 || m_ == 0 || n_ == 0) {
      if (!to.accumulate)
        std::fill_n(to.data, all, T(0));
      return;
    }
    std::vector<bool> written(static_cast<std::size_t>(size == 0 ? 0 : all / size), to.accumulate);
    for (Index i = 0; i < matrices_ && size > 0; ++i) {
      const auto &places = places_[static_cast<std::size_t>(i)];
      const Index place = side == 0 ? places.first : places.second;
      MatmulOptions options;
      options.accumulate = written[static_cast<std::size_t>(place)];
      written[static_cast<std::size_t>(place)] = true;
      product(i, {to.data + place * size, rows, columns, columns, 1}, options);
    }
  }

  bool turned_a_, turned_b_;
  Index m_ = 0, k_ = 0, n_ = 0, matrices_ = 0;
  Broadcast walk_;
  std::vector<std::pair<Index, Index>> places_; // which matrices of a and b each product takes
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_matmul_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<MatmulNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_matmul_node)

} // namespace attentive
