// Attention of texts that are packed into rows, as one XLA FFI handler: each run of equal segment ids is a text of its
// own, and only pairs of one text are ever computed. See attention.py.
//
// A piece of work is one head of one text. Scores are exact sums of 16-bit integer products: each query is rounded to
// multiples of its own step, the keys of the text to multiples of one step. Keys are transposed and values copied, so
// that both products run over whole vectors; a few queries at a time have their scores, weights and sums in the first
// cache. Nothing depends on where in the row a text stands.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "attention_loops.h"
#include "handler.h"
#include "parallel.h"
#include "product.h"

namespace keytokens {
namespace {

struct Run {
  int64_t first, length;  // of the tokens of all rows
};

// Of one head of one text; padded to whole groups of queries, pairs of numbers and vectors of keys.
struct Scratch {
  std::vector<int16_t> queries, rows, keys;  // [queries][width], [keys][width], [width / 2][keys][2]
  std::vector<float> steps, values;          // of each query; [keys][whole vectors]
  std::vector<int32_t> scores;               // [kQueries][keys]; weights afterwards
};

// A head's numbers lie a row apart, too far for the hardware to foresee: asks for those of the row `kRowsAhead` further.
constexpr int64_t kRowsAhead = 12;
inline void Foresee(const float* row, int64_t stride, int64_t dim) {
  for (int64_t d = 0; d < dim; d += kLanes) __builtin_prefetch(row + kRowsAhead * stride + d);
}

// n rows of `dim` numbers.
void Copy(const float* __restrict__ from, int64_t from_stride, int64_t n, int64_t dim, float* __restrict__ to,
          int64_t to_stride) {
  for (int64_t s = 0; s < n; s++, from += from_stride, to += to_stride) {
    Foresee(from, from_stride, dim);
    for (int64_t d = 0; d < dim; d++) to[d] = from[d];
  }
}

struct Heads {
  const float *queries, *keys, *values;
  float* out;
  int64_t num_heads, num_kv_heads, dim, behind, ahead;
  float scale;
};

// Queries from `first` on, at most q of them, of a text whose first query is at `out`.
template <int q>
void AttendQueries(const Heads& h, const Run& run, int64_t first, int64_t width, int64_t stride, Scratch& scratch,
                   float* out) {
  const int64_t last = std::min(run.length, first + q) - 1, value_width = RoundUp(h.dim, kValueVectors * kLanes);
  // Keys that some of these queries see, from a whole vector on.
  const int64_t low = h.behind < 0 ? 0 : std::max<int64_t>(0, first - h.behind) / kLanes * kLanes;
  const int64_t high = h.ahead < 0 ? run.length : std::min(run.length, last + h.ahead + 1);
  const int64_t count = RoundUp(high - low, kLanes);
  AllScores<q>(&scratch.queries[first * width], width, &scratch.keys[2 * low], stride, count, scratch.scores.data());
  const float* weights = reinterpret_cast<const float*>(scratch.scores.data());
  float scales[q], mixed[q][kValueVectors * kLanes];
  for (int64_t i = 0; i < q; i++) {
    const int64_t at = std::min(first + i, last);
    const int64_t keep = h.behind < 0 ? 0 : std::max<int64_t>(0, at - h.behind) - low;
    const int64_t end = (h.ahead < 0 ? run.length : std::min(run.length, at + h.ahead + 1)) - low;
    scales[i] = Softmax(&scratch.scores[i * count], count, keep, end, scratch.steps[at]);
  }
  for (int64_t d = 0; d < h.dim; d += kValueVectors * kLanes) {
    Mix<q>(weights, count, high - low, &scratch.values[low * value_width + d], value_width, mixed);
    for (int64_t i = 0; first + i <= last; i++)
      for (int64_t j = 0; j < std::min(kValueVectors * kLanes, h.dim - d); j++)
        out[(first + i) * h.num_heads * h.dim + d + j] = scales[i] * mixed[i][j];
  }
}

void AttendRun(const Heads& h, const Run& run, int64_t head, Scratch& scratch) {
  const int64_t n = run.length, dim = h.dim, width = RoundUp(dim, 2), stride = RoundUp(n, kLanes);
  const int64_t query_row = h.num_heads * dim, key_row = h.num_kv_heads * dim;
  const int64_t kv_offset = run.first * key_row + head / (h.num_heads / h.num_kv_heads) * dim;
  const int64_t offset = run.first * query_row + head * dim, value_width = RoundUp(dim, kValueVectors * kLanes);
  const float *queries = h.queries + offset, *keys = h.keys + kv_offset;
  scratch.queries.resize(RoundUp(n, kQueries) * width);
  scratch.steps.resize(n);
  scratch.rows.resize(n * width);
  scratch.keys.resize(width * stride);
  scratch.values.resize(n * value_width);
  scratch.scores.resize(kQueries * stride);
  const auto steps_of = [=](const float* rows, int64_t stride, int64_t count) {
    for (int64_t s = 0; s < count; s++) Foresee(rows + s * stride, stride, dim);
    return Steps(SquaresOf(rows, stride, count, dim), width);
  };
  Floats largest = Set(0.0f);
  for (int64_t s = 0; s < n; s += kLanes)
    largest = LargerOrNan(largest, steps_of(keys + s * key_row, key_row, std::min(kLanes, n - s)));
  const float key_step = LargestOrNan(largest);
  for (int64_t s = 0; s < n; s++) ToIntegers(keys + s * key_row, dim, width, key_step, &scratch.rows[s * width]);
  TransposePairs(scratch.rows.data(), n, width, scratch.keys.data(), stride);
  const float powers_of_two = 1.44269504f * h.scale * key_step;
  for (int64_t group = 0; group < n; group += kLanes) {
    const int64_t here = std::min(kLanes, n - group);
    alignas(64) float steps[kLanes];
    Store(steps, steps_of(queries + group * query_row, query_row, here));
    for (int64_t t = 0; t < here; t++) {
      ToIntegers(queries + (group + t) * query_row, dim, width, steps[t], &scratch.queries[(group + t) * width]);
      scratch.steps[group + t] = powers_of_two * steps[t];
    }
  }
  if (value_width > dim) std::fill(scratch.values.begin(), scratch.values.end(), 0.0f);
  Copy(h.values + kv_offset, key_row, n, dim, scratch.values.data(), value_width);
  for (int64_t first = 0; first < n;) {
    if (n - first > kQueries / 2) {
      AttendQueries<kQueries>(h, run, first, width, stride, scratch, h.out + offset);
      first += kQueries;
    } else {
      AttendQueries<kQueries / 2>(h, run, first, width, stride, scratch, h.out + offset);
      first += kQueries / 2;
    }
  }
}

ffi::Error Attend(ffi::ThreadPool pool, float scale, int64_t behind, int64_t ahead, F32 queries, F32 keys,
                  F32 values, S32 segments, ffi::ResultBuffer<ffi::F32> out) {
  const auto shape = queries.dimensions();
  const int64_t rows = shape[0], length = shape[1];
  const Heads h{queries.typed_data(), keys.typed_data(), values.typed_data(), out->typed_data(), shape[2],
                keys.dimensions()[2], shape[3], behind, ahead, scale};
  std::vector<Run> runs;
  for (int64_t row = 0; row < rows; row++)
    for (int64_t t = 0, end; t < length; t = end) {
      const int32_t* segment = segments.typed_data() + row * length;
      for (end = t + 1; end < length && segment[end] == segment[t]; end++) {
      }
      if (segment[t] > 0) {
        runs.push_back({row * length + t, end - t});
      } else {
        const int64_t width = h.num_heads * h.dim;
        std::fill(h.out + (row * length + t) * width, h.out + (row * length + end) * width, 0.0f);
      }
    }
  Parallel(pool, runs.size() * h.num_heads, [&](int64_t piece) {
    thread_local Scratch scratch;
    AttendRun(h, runs[piece / h.num_heads], piece % h.num_heads, scratch);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace keytokens

KEYTOKENS_EXPORT XLA_FFI_Error* KeytokensAttend(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    KeytokensAttend, keytokens::Attend,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<float>("scale").Attr<int64_t>("behind").Attr<int64_t>("ahead")
        .Arg<F32>().Arg<F32>().Arg<F32>().Arg<S32>().Ret<F32>());
