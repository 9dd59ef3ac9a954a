// The k best tokens of every row, and the logsumexp of its logits, as one XLA FFI handler. See topk.py.
//
// A piece of work is some rows and a segment of the vocabulary. Panel after panel of 64 tokens it takes the logits,
// exact sums of 16-bit integer products, adds to the rows' sums of exponentials, and keeps the tokens that may be among
// the k best of what has been seen. Last, what is left of a row is scored in float32. No result depends on how the work
// is split among threads.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "exponentials.h"
#include "handler.h"
#include "kept.h"
#include "parallel.h"
#include "product.h"
#include "vector_math.h"

namespace keytokens {
namespace {

constexpr int64_t kRows = 3 * kRowBlock;  // of a piece: they share one reading of the segment's panels
constexpr int64_t kSegment = 128;         // panels of a piece: 8,192 tokens
// Errors beyond are taken for those of numbers that are not finite, or whose products may not be.
constexpr float kLargestError = 1e30f;
// Beyond so many tokens and 2 k of a segment that may be among the best, a row is given up: its logits are all but equal.
constexpr int64_t kMostKept = 4096;

struct Problem {
  const float* x;            // [rows][dim]
  Matrix head;               // with its bias, as many as the panels hold
  const void* weight;        // [V][dim], float32 or bfloat16
  bool is_half;              // whether it is bfloat16
  const float* bounds;       // [3]: the largest norm of a token's steps, bias, and product with the shift's direction
  const float* along;        // that product, [64 panels], or null without a shift
  const float* coefficient;  // of the shift, [rows]
  Scaling scaling;
  int64_t k;
  bool with_logsumexp;

  int64_t panels() const { return head.size / kPanel; }
};

// What a piece leaves of a row.
struct Part {
  std::vector<Candidate> kept;
  Exponentials exponentials;
};

// What is known of a row while its pieces are worked through: a number that k logits reach for certain, and how far its
// logits may be from those of float32.
struct Row {
  std::atomic<float> threshold{kLowest};
  std::atomic<bool> given_up{false};
  float error;
};

float Error(const Problem& p, const float* steps, int64_t row) {
  const Cut& cut = p.head.cut;
  float squares = 0;
  for (int64_t b = 0; b < cut.blocks; b++) squares += steps[b * kRowBlock] * steps[b * kRowBlock];
  const float rounding = 1.01f * 49152.0f * std::sqrt(static_cast<float>(cut.width));
  const float sums = 0x1p31f * (2 * cut.blocks + cut.dim / 64 + 24) * 0x1p-23f;
  const float shift = p.coefficient ? std::fabs(p.coefficient[row]) : 0.0f;
  // The last: what float32 flushes to zero.
  const float added = p.bounds[1] + shift * p.bounds[2];
  return (rounding + sums) * std::sqrt(squares) * p.bounds[0] + added * 0x1p-21f + 0x1p-100f;
}

// n rows from `first` and one segment.
void Screen(const Problem& p, int64_t first, int64_t n, int64_t segment, Row* rows, Part* parts) {
  thread_local Rounded rounded[kRows / kRowBlock];
  thread_local Kept kept[kRows];
  const Cut& cut = p.head.cut;
  float thresholds[kRows], errors[kRows];
  int64_t room[kRows];
  for (int64_t row = 0; row < n; row++) {
    Rounded& block = rounded[row / kRowBlock];
    if (row % kRowBlock == 0) RoundRows(p.x + (first + row) * cut.dim, std::min(kRowBlock, n - row), cut, block);
    errors[row] = Error(p, &block.steps[row % kRowBlock], first + row);
    thresholds[row] = rows[row].threshold.load(std::memory_order_relaxed);
    room[row] = 2 * p.k + 4 * kPanel;
    kept[row].Clear();
    kept[row].Reserve(room[row] + kPanel);
  }
  alignas(64) float y[kRowBlock][kPanel];
  for (int64_t panel = segment * kSegment; panel < std::min(p.panels(), (segment + 1) * kSegment); panel++) {
    for (int64_t row = 0; row < n; row++) {
      const int64_t block = row / kRowBlock, i = row % kRowBlock;
      if (i == 0) MultiplyPanel(rounded[block], std::min(kRowBlock, n - row), p.head, panel, kNone, {y[0], kPanel});
      if (p.along)
        for (int64_t j = 0; j < kPanel; j++) y[i][j] -= p.coefficient[first + row] * p.along[panel * kPanel + j];
      if (p.with_logsumexp) parts[row].exponentials.Add(y[i], p.scaling);
      uint64_t reach = 0;
      for (int j = 0; j < kVectors; j++) {
        const Mask here = GreaterEqual(Load(y[i] + kLanes * j), Set(thresholds[row]));
        reach |= static_cast<uint64_t>(Bits(here)) << (kLanes * j);
      }
      if (__builtin_expect(!reach, 1)) continue;
      for (; reach; reach &= reach - 1) {
        const int j = __builtin_ctzll(reach);
        kept[row].Add({y[i][j], static_cast<int32_t>(panel * kPanel + j)});
      }
      if (kept[row].size() < room[row]) continue;
      kept[row].Prune(p.k, errors[row], thresholds[row]);
      if (kept[row].size() > kMostKept + 2 * p.k) {
        rows[row].given_up.store(true, std::memory_order_relaxed);
        kept[row].Clear();
        thresholds[row] = INFINITY;
      }
      room[row] = std::max(room[row], 2 * kept[row].size());
      kept[row].Reserve(room[row] + kPanel);
    }
  }
  for (int64_t row = 0; row < n; row++) {
    kept[row].Prune(p.k, errors[row], thresholds[row]);
    parts[row].kept = kept[row].Copy();
    if (segment == 0) rows[row].error = errors[row];
    // Another thread may have stored a higher one meanwhile: no harm, each is reached for certain.
    rows[row].threshold.store(thresholds[row], std::memory_order_relaxed);
  }
}

// a b. Both b and `next`, of one of the next calls, lie in memory: asking for it line by line as b is read, instead of
// all at once, saved a third of the time.
template <class T>
float Dot(const float* a, const T* b, int64_t n, const T* next) {
  Floats sums[4] = {Set(0.0f), Set(0.0f), Set(0.0f), Set(0.0f)};
  for (int64_t d = 0; d < n; d += 4 * kLanes)
#pragma GCC unroll 4
    for (int64_t j = 0; j < 4; j++) {
      const int64_t at = d + kLanes * j, left = n - at;
      __builtin_prefetch(next + at, 0, 2);
      sums[j] = MulAdd(LoadFirst(a + at, left), LoadFirst(b + at, left), sums[j]);
    }
  return Sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// The logits of a row's tokens, handed to sink(i, logit).
template <class T, class Sink>
void Score(const Problem& p, int64_t row, const Kept& kept, const Sink& sink) {
  constexpr int64_t kAhead = 4;
  const int64_t dim = p.head.cut.dim;
  const T* weight = static_cast<const T*>(p.weight);
  for (int64_t i = 0; i < kept.size(); i++) {
    const int64_t token = kept.token(i), next = kept.token(std::min(i + kAhead, kept.size() - 1));
    float logit = Dot(p.x + row * dim, weight + token * dim, dim, weight + next * dim) + p.head.bias[token];
    if (p.along) logit -= p.coefficient[row] * p.along[token];
    sink(i, logit + 0.0f);  // no -0.0
  }
}

// Whole numbers whose order is that of the numbers from the largest down.
uint32_t Descending(float number) {
  int32_t bits;
  std::memcpy(&bits, &number, 4);
  return static_cast<uint32_t>(bits < 0 ? bits : ~(bits | INT32_MIN));
}

// The answer for a row from its parts, which lie `stride` apart; false where it is none.
bool Decide(const Problem& p, int64_t row, const Row& known, const Part* parts, int64_t segments, int64_t stride,
            float* values, int32_t* indices, float* logsumexp) {
  thread_local Kept kept;
  thread_local std::vector<float> logits;
  thread_local std::vector<uint64_t> order;  // by logit, then by token
  kept.Clear();
  float threshold = known.threshold.load(std::memory_order_relaxed), largest = kLowest;
  for (int64_t s = 0; s < segments; s++) {
    const Part& part = parts[s * stride];
    largest = std::max(largest, part.exponentials.largest());
    kept.Reserve(kept.size() + part.kept.size());
    for (const Candidate& one : part.kept) kept.Add(one);
  }
  kept.Prune(p.k, known.error, threshold);
  bool ok = known.error < kLargestError && kept.size() >= p.k && !known.given_up.load(std::memory_order_relaxed);
  logits.resize(kept.size());
  order.resize(kept.size());
  const auto sink = [&](int64_t i, float logit) {
    ok &= std::isfinite(logit);
    logits[i] = logit;
    order[i] = static_cast<uint64_t>(Descending(logit)) << 32 | static_cast<uint32_t>(i);
  };
  p.is_half ? Score<uint16_t>(p, row, kept, sink) : Score<float>(p, row, kept, sink);
  if (!ok) return false;
  std::sort(order.begin(), order.end());
  double sum = 0;
  for (int64_t s = 0; s < segments; s++) sum += parts[s * stride].exponentials.Sum(largest);
  for (int64_t j = 0; j < p.k; j++) {
    const uint32_t i = static_cast<uint32_t>(order[j]);
    values[j] = logits[i];
    indices[j] = kept.token(i);
    if (!p.with_logsumexp) continue;
    const auto power = [&](float logit) {
      return FirstLane(Exp2(p.scaling(Set(logit)) - Set(largest)));
    };
    sum += power(logits[i]) - power(kept.logit(i));  // the largest terms from float32
  }
  if (p.with_logsumexp) *logsumexp = static_cast<float>((std::log2(sum) + largest) * 0.6931471805599453);
  return !p.with_logsumexp || std::isfinite(*logsumexp);
}

ffi::Error TopK(ffi::ThreadPool pool, int64_t k, float scale, float softcap, bool with_logsumexp, F32 x,
                S16 panels, F32 bias, F32 bounds, F32 along, F32 coefficient, ffi::AnyBuffer weight,
                ffi::ResultBuffer<ffi::F32> values, ffi::ResultBuffer<ffi::S32> indices,
                ffi::ResultBuffer<ffi::F32> logsumexp, ffi::ResultBuffer<ffi::PRED> certified) {
  const int64_t num_rows = x.dimensions()[0], padded = bias.element_count();
  const Matrix head{Cut(x.dimensions()[1]), panels.typed_data(), bias.typed_data(), padded};
  const bool shifted = along.element_count() > 0;
  const Problem p{x.typed_data(), head, weight.untyped_data(), weight.element_type() == ffi::BF16, bounds.typed_data(),
                  shifted ? along.typed_data() : nullptr, shifted ? coefficient.typed_data() : nullptr,
                  {scale, softcap}, k, with_logsumexp};
  const Split split(num_rows, CeilDiv(num_rows, kRows));
  const int64_t segments = CeilDiv(p.panels(), kSegment);
  std::vector<Part> parts(segments * num_rows);
  std::vector<Row> rows(num_rows);
  Parallel(pool, split.pieces * segments, [&](int64_t i) {
    const int64_t first = split.First(i / segments), segment = i % segments;
    Screen(p, first, split.Size(i / segments), segment, &rows[first], &parts[segment * num_rows + first]);
  });
  Parallel(pool, num_rows, [&](int64_t row) {
    float* row_values = values->typed_data() + row * k;
    int32_t* row_indices = indices->typed_data() + row * k;
    float* row_logsumexp = logsumexp->typed_data() + row;
    const bool ok = Decide(p, row, rows[row], &parts[row], segments, num_rows, row_values, row_indices, row_logsumexp);
    certified->typed_data()[row] = ok;
    if (ok) return;
    std::fill_n(row_values, k, 0.0f);
    std::fill_n(row_indices, k, 0);
    *row_logsumexp = 0.0f;
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace keytokens

KEYTOKENS_EXPORT XLA_FFI_Error* KeytokensTopK(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    KeytokensTopK, keytokens::TopK,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<int64_t>("k").Attr<float>("scale").Attr<float>("softcap")
        .Attr<bool>("with_logsumexp").Arg<F32>().Arg<S16>().Arg<F32>().Arg<F32>().Arg<F32>()
        .Arg<F32>().Arg<ffi::AnyBuffer>().Ret<F32>().Ret<S32>().Ret<F32>()
        .Ret<ffi::Buffer<ffi::PRED>>());
