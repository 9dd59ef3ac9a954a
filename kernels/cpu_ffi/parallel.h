// Runs pieces of work on XLA's own thread pool.

#ifndef KEYTOKENS_PARALLEL_H_
#define KEYTOKENS_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace keytokens {

// How long a thread that is done waits awake for the others: to be woken takes 30 to 60 microseconds.
constexpr std::chrono::microseconds kAwake(200);

// Runs f(0) ... f(n - 1) on the pool. It waits for finished pieces, never for a task to start: a task that starts late
// finds no piece left. So a pool whose threads are all inside handlers cannot deadlock.
template <class F>
void Parallel(xla::ffi::ThreadPool& pool, int64_t n, const F& f) {
  struct State {
    std::atomic<int64_t> next{0}, done{0};
    std::mutex mutex;
    std::condition_variable finished;
  };
  auto state = std::make_shared<State>();
  const F* pf = &f;
  auto work = [state, pf, n] {
    for (int64_t i; (i = state->next.fetch_add(1)) < n;) {
      (*pf)(i);
      if (state->done.fetch_add(1) + 1 == n) {
        std::lock_guard<std::mutex> lock(state->mutex);
        state->finished.notify_one();
      }
    }
  };
  for (int64_t t = 1; t < std::min<int64_t>(n, pool.num_threads()); t++) pool.Schedule(std::function<void()>(work));
  work();
  const auto all_done = [&] { return state->done.load() == n; };
  const auto until = std::chrono::steady_clock::now() + kAwake;
  while (!all_done() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->finished.wait(lock, all_done);
}

}  // namespace keytokens

#endif  // KEYTOKENS_PARALLEL_H_
