#pragma once

// The exchange between replicas without a network: a PeerDialler whose streams end in
// PeerExchanges of the same process. Like a real one it calls back from threads of its own and
// keeps order. Replicas have addresses "0", "1" ...; roads between two of them can be closed. Test
// code only.
//
// Thread-safe.

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/serve/peer_exchange.h"
#include "tests/integration/sync_in_process.h"

namespace rota::tests {

class PeerPipe;

// Outlives the diallers; the exchanges outlive it.
class PeerNetwork {
 public:
  explicit PeerNetwork(size_t addresses) : exchanges_(addresses) {}
  // Ends every stream and waits for that.
  ~PeerNetwork();

  // null: nobody listens there. Streams that are open stay.
  void SetExchange(size_t index, serve::PeerExchange* exchange);
  // Streams between the two break, and none come up until the road is open again.
  void SetRoad(size_t a, size_t b, bool open);
  // The dialler of the replica at `index`: it is given every address, its own too.
  std::unique_ptr<serve::PeerDialler> MakeDialler(size_t index);
  size_t dials() const;

 private:
  friend class InProcessDialler;
  void Dial(size_t from, size_t to, std::shared_ptr<serve::PeerExchange::Connection> connection);

  mutable std::mutex mutex_;
  std::vector<serve::PeerExchange*> exchanges_;
  std::set<std::pair<size_t, size_t>> closed_;  // smaller index first
  std::vector<std::shared_ptr<PeerPipe>> pipes_;
};

}  // namespace rota::tests
