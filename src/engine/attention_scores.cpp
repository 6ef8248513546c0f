// The scores themselves, on demand: recomputed from the log-sum-exp of a
// forward pass and written once, in whatever order the caller stores them.
//
// R keeps [B, H, T, S] with the batch contiguous and the keys far apart. So a
// task takes a block of queries of many heads at once, goes through the keys,
// and writes each small cube in the order of its smallest stride.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attention.h"
#include "attention_tiles.h"

namespace attentive {

namespace {

// Queries and keys of a cube: 64 x 32 of 8 heads are 16 KiB to 32 KiB a row of lanes.
constexpr Index kCubeQueries = 64, kCubeKeys = 32;

// Beyond this log-sum-exp, to the base 2, rounding it would show in the sum of a row: the row is
// summed again, from its maximum.
constexpr double kLargeLogSum = 46;

// Of packed queries and of cubes together, per thread.
constexpr Index kCubeBytes = Index(1) << 21;

// A head of an element, and where its scores go.
struct Head {
  Index n, h, offset;
};

template <class T> struct ScoresCall {
  const AttentionShape &shape;
  HeadView<const T> q, k;
  const AttentionOptions &options;
  const T *lse;
  const ScoreView &scores;
  const AttentionKernels<T> &kernels;
  int lanes;               // L
  int groups;              // of a block of queries
  Index chunk;             // heads of a task
  Index slots;             // heads whose queries are kept packed, at most chunk
  std::vector<Head> heads; // all of them, in the order of their offsets
};

// Letters: C slots, K key size, L lanes of a group.
template <class T> struct ScoresScratch {
  Buffer<T> q;                  // [C, groups, K, L]
  Buffer<T> offset, factor;     // [chunk, groups, L]: p = exp2(score + offset) * factor
  std::vector<char> scaled;     // [chunk, groups]: a factor is not 1
  Buffer<T> p;                  // [C, groups, cube]
  Buffer<T> mean, sums;         // [groups, cube], [L]
  static constexpr int kPad = 16; // keeps heads from sharing a set of the cache

  explicit ScoresScratch(const ScoresCall<T> &call)
      : q(call.slots * call.groups * call.shape.key_size * call.lanes),
        offset(call.chunk * call.groups * call.lanes),
        factor(call.chunk * call.groups * call.lanes), scaled(call.chunk * call.groups),
        p((call.scores.mean_over_heads ? 1 : call.chunk) * call.groups * cube(call)),
        mean(call.groups * cube(call)), sums(call.lanes) {}

  static Index cube(const ScoresCall<T> &call) { return kCubeKeys * call.lanes + kPad; }
};

// A copy of a cube of numbers: source and target strides of its three axes,
// the axis with the smallest target stride innermost.
template <class T> class CubeWriter {
public:
  void axis(Index size, Index from, Index to) {
    int at = used_++;
    for (; at > 0 && axes_[at - 1].to < to; --at)
      axes_[at] = axes_[at - 1];
    axes_[at] = {size, from, to};
  }

  void write(const T *from, double *to, double factor) const {
    const Axis &outer = axes_[0], &middle = axes_[1];
    for (Index i = 0; i < outer.size; ++i)
      for (Index j = 0; j < middle.size; ++j)
        copy(from + i * outer.from + j * middle.from, to + i * outer.to + j * middle.to, factor);
  }

private:
  struct Axis {
    Index size, from, to;
  };
  Axis axes_[3];
  int used_ = 0;

  void copy(const T *from, double *to, double factor) const {
    const Index size = axes_[2].size, step = axes_[2].from, stride = axes_[2].to;
    Index k = 0;
    if (stride == 1 && step == 1) {
      constexpr Index kStep = 8; // a fixed length: compilers use vectors
      for (; k + kStep <= size; k += kStep)
        for (Index i = 0; i < kStep; ++i)
          to[k + i] = static_cast<double>(from[k + i]) * factor;
    }
    if (stride == 1) // with a loop of its own: 3 to 6 % of all scores
      for (; k < size; ++k)
        to[k] = static_cast<double>(from[k * step]) * factor;
    else
      for (; k < size; ++k)
        to[k * stride] = static_cast<double>(from[k * step]) * factor;
  }
};

// The scores of a chunk of heads and a block of queries.
template <class T> class ScoresBlock {
public:
  ScoresBlock(const ScoresCall<T> &call, ScoresScratch<T> &scratch, Index chunk, Index block)
      : call_(call), s_(scratch), first_head_(chunk * call.chunk),
        heads_(std::min<Index>(call.chunk, Index(call.heads.size()) - first_head_)),
        first_query_(block * call.groups * call.lanes),
        cube_(ScoresScratch<T>::cube(call)) {
    const Index left = call.shape.queries - first_query_;
    count_ = static_cast<int>(std::min<Index>(left, Index(call.groups) * call.lanes));
    groups_ = (count_ + call.lanes - 1) / call.lanes;
    for (int i = 0; i < count_; ++i)
      queries_[i] = first_query_ + i;
  }

  void run() {
    for (Index c = 0; c < heads_; ++c) {
      load(c);
      for (int g = 0; g < groups_; ++g)
        settle(c, g);
    }
    for (Index s = 0; s < call_.shape.keys; s += kCubeKeys) {
      const int keys = static_cast<int>(std::min(kCubeKeys, call_.shape.keys - s));
      if (call_.scores.mean_over_heads)
        mean(s, keys);
      else
        all(s, keys);
    }
  }

private:
  const ScoresCall<T> &call_;
  ScoresScratch<T> &s_;
  const Index first_head_, heads_, first_query_, cube_;
  int count_ = 0, groups_ = 0;
  Index queries_[kCubeQueries];
  TileView view_;

  bool resident() const { return heads_ <= call_.slots; }
  Index slot(Index c, int g) const { return c % call_.slots * call_.groups + g; }
  int group_count(int g) const { return std::min(call_.lanes, count_ - g * call_.lanes); }
  const Head &head(Index c) const { return call_.heads[first_head_ + c]; }

  // Packs the queries of head c: their scores are base-2 exponents.
  void load(Index c) {
    for (int g = 0; g < groups_; ++g) {
      const T *rows[kMaxGroup];
      for (int lane = 0; lane < group_count(g); ++lane)
        rows[lane] = call_.q.row(head(c).n, queries_[g * call_.lanes + lane], head(c).h);
      call_.kernels.pack_rows(rows, group_count(g), call_.shape.key_size,
                              static_cast<T>(call_.options.scale * kLog2E), packed(c, g));
    }
  }

  // Offsets of a group, and factors where the log-sum-exp alone is not exact enough.
  void settle(Index c, int g) {
    const AttentionShape &shape = call_.shape;
    const T *lse = call_.lse + (head(c).n * shape.heads + head(c).h) * shape.queries +
                   first_query_ + g * call_.lanes;
    T *const offset = offsets(c, g);
    bool large = false;
    for (int lane = 0; lane < call_.lanes; ++lane) {
      const bool real = lane < group_count(g);
      offset[lane] = real ? -lse[lane] : T(0);
      large |= real && std::isfinite(lse[lane]) && std::abs(lse[lane]) > kLargeLogSum;
    }
    s_.scaled[c * call_.groups + g] = 0;
    if (!large)
      return;
    T highest[kMaxGroup], max[kMaxGroup], total[kMaxGroup] = {};
    std::fill_n(highest, call_.lanes, -std::numeric_limits<T>::infinity());
    each_tile(c, g, [&](const AttentionTile<T> &tile) {
      call_.kernels.max_scores(tile, max);
      for (int lane = 0; lane < call_.lanes; ++lane)
        highest[lane] = std::max(highest[lane], max[lane]);
    });
    for (int lane = 0; lane < call_.lanes; ++lane)
      if (std::isfinite(offset[lane]) && std::isfinite(highest[lane]))
        offset[lane] = -highest[lane]; // NaN and nothing to see stay what they are
    each_tile(c, g, [&](const AttentionTile<T> &tile) {
      call_.kernels.exp_scores(tile, T(0));
      for (int lane = 0; lane < call_.lanes; ++lane)
        total[lane] += tile.sums[lane];
    });
    T *const factor = s_.factor.data() + (offset - s_.offset.data());
    for (int lane = 0; lane < call_.lanes; ++lane)
      factor[lane] = total[lane] >= T(1) ? T(1) / total[lane] : T(1);
    s_.scaled[c * call_.groups + g] = 1;
  }

  // f(tile) for every tile of keys that a query of the group may see.
  template <class F> void each_tile(Index c, int g, F f) {
    for (Index s = 0; s < call_.shape.keys; s += kCubeKeys) {
      look(c, g, s, static_cast<int>(std::min(kCubeKeys, call_.shape.keys - s)));
      if (view_.view != Mask::View::none)
        f(tile(c, g, s, s_.p.data()));
    }
  }

  T *offsets(Index c, int g) { return s_.offset.data() + (c * call_.groups + g) * call_.lanes; }

  T *packed(Index c, int g) {
    return s_.q.data() + slot(c, g) * call_.shape.key_size * call_.lanes;
  }

  void look(Index c, int g, Index first, int keys) {
    view_.look(call_.options.mask, head(c).n, head(c).h, queries_ + g * call_.lanes,
               group_count(g), call_.kernels.lanes, first, first + keys);
  }

  // The tile of keys that was looked at last.
  AttentionTile<T> tile(Index c, int g, Index first, T *p) {
    const Head &at = head(c);
    AttentionTile<T> tile;
    tile.q = packed(c, g);
    tile.k = call_.k.row(at.n, first, at.h / (call_.shape.heads / call_.shape.groups));
    tile.k_stride = call_.k.token_stride;
    tile.key_size = call_.shape.key_size;
    for (int vector = 0; vector < 2; ++vector) {
      tile.begin[vector] = view_.begin[vector];
      tile.end[vector] = view_.end[vector];
    }
    tile.bits = view_.bits_or_null();
    tile.offset = offsets(c, g);
    tile.p = p;
    tile.sums = s_.sums.data();
    return tile;
  }

  // p[keys, L] of head c, group g; zeros where nothing is seen.
  void cube(Index c, int g, Index first, int keys, T *p) {
    look(c, g, first, keys);
    if (view_.view != Mask::View::all)
      std::fill_n(p, keys * call_.lanes, T(0));
    if (view_.view == Mask::View::none)
      return;
    call_.kernels.exp_scores(tile(c, g, first, p), T(0));
    if (!s_.scaled[c * call_.groups + g])
      return;
    const T *const factor = s_.factor.data() + (c * call_.groups + g) * call_.lanes;
    for (int s = 0; s < keys; ++s)
      for (int lane = 0; lane < call_.lanes; ++lane)
        p[s * call_.lanes + lane] *= factor[lane];
  }

  double *target(Index offset, int g, Index s) const {
    return call_.scores.data + offset + queries_[g * call_.lanes] * call_.scores.query +
           s * call_.scores.key;
  }

  void all(Index s, int keys) {
    for (Index c = 0; c < heads_; ++c)
      for (int g = 0; g < groups_; ++g)
        cube(c, g, s, keys, s_.p.data() + (c * call_.groups + g) * cube_);
    // Heads at equal distances are an axis of the cube, others are done one by one.
    const Index step = heads_ > 1 ? head(1).offset - head(0).offset : 1;
    bool even = true;
    for (Index c = 2; c < heads_; ++c)
      even = even && head(c).offset - head(c - 1).offset == step;
    for (Index c = 0; c < (even ? 1 : heads_); ++c)
      for (int g = 0; g < groups_; ++g)
        write(even ? heads_ : 1, step, g, keys, s_.p.data() + (c * call_.groups + g) * cube_,
              target(head(c).offset, g, s), 1.0);
  }

  void write(Index heads, Index step, int g, int keys, const T *from, double *to,
             double factor) const {
    CubeWriter<T> writer;
    writer.axis(heads, call_.groups * cube_, step);
    writer.axis(group_count(g), 1, call_.scores.query);
    writer.axis(keys, call_.lanes, call_.scores.key);
    writer.write(from, to, factor);
  }

  // The chunk is all heads of one element.
  void mean(Index s, int keys) {
    const ElementwiseKernels<T> &loops = kernels<T>().elementwise;
    for (int g = 0; g < groups_; ++g) {
      T *const sum = s_.mean.data(), *const p = s_.p.data();
      for (Index c = 0; c < heads_; ++c) {
        if (!resident())
          load(c);
        cube(c, g, s, keys, p);
        loops.scale(p, T(1), sum, keys * call_.lanes, c > 0);
      }
      write(1, 1, g, keys, sum, target(head(0).offset, g, s), 1.0 / double(heads_));
    }
  }
};

template <class T> void cut(ScoresCall<T> &call) {
  const AttentionShape &shape = call.shape;
  const ScoreView &scores = call.scores;
  for (Index n = 0; n < shape.elements(); ++n)
    for (Index h = 0; h < shape.heads; ++h)
      call.heads.push_back({n, h,
                            n / shape.free * scores.batch + n % shape.free * scores.free +
                                (scores.mean_over_heads ? 0 : h * scores.head)});
  if (!scores.mean_over_heads)
    std::sort(call.heads.begin(), call.heads.end(),
              [](const Head &a, const Head &b) { return a.offset < b.offset; });
  call.lanes = 2 * call.kernels.lanes;
  const Index needed = (shape.queries + call.lanes - 1) / call.lanes;
  call.groups = static_cast<int>(std::min(kCubeQueries / call.lanes, needed));
  const Index bytes = (shape.key_size + kCubeKeys) * call.groups * call.lanes * sizeof(T);
  const Index fitting = std::max<Index>(1, kCubeBytes / bytes);
  const Index all = static_cast<Index>(call.heads.size());
  call.chunk = scores.mean_over_heads ? shape.heads : std::min(fitting, all);
  call.slots = std::min(fitting, call.chunk);
}

} // namespace

template <class T>
void attention_scores(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                      const AttentionOptions &options, const T *lse, const ScoreView &scores,
                      const Execution &execution) {
  if (shape.elements() == 0 || shape.queries == 0 || shape.keys == 0 || shape.heads == 0)
    return;
  ScoresCall<T> call{shape, q, k, options, lse, scores, kernels<T>().attention, 0, 0, 0, 0, {}};
  cut(call);
  const Index blocks = (shape.queries + call.groups * call.lanes - 1) / (call.groups * call.lanes);
  const Index chunks = (Index(call.heads.size()) + call.chunk - 1) / call.chunk;
  const Index tasks = checked_product(blocks, chunks);
  const Execution limited = worthwhile(
      execution, tasks, static_cast<double>(checked_product(
                            {shape.elements(), shape.heads, shape.queries, shape.keys})) *
                            static_cast<double>(shape.key_size + 16));
  std::vector<ScoresScratch<T>> scratch;
  scratch.reserve(static_cast<std::size_t>(limited.threads));
  for (int i = 0; i < limited.threads; ++i)
    scratch.emplace_back(call);
  parallel_for(tasks, limited, [&](Index task, int worker) {
    ScoresBlock<T>(call, scratch[worker], task / blocks, task % blocks).run();
  });
}

template void attention_scores<float>(const AttentionShape &, HeadView<const float>,
                                      HeadView<const float>, const AttentionOptions &,
                                      const float *, const ScoreView &, const Execution &);
template void attention_scores<double>(const AttentionShape &, HeadView<const double>,
                                       HeadView<const double>, const AttentionOptions &,
                                       const double *, const ScoreView &, const Execution &);

} // namespace attentive
