#include "controller/serve/place_book.h"

#include <optional>

#include "gtest/gtest.h"

namespace rota::serve {
namespace {

TEST(PlaceBookTest, GivesTheLowestFreePlace) {
  PlaceBook book;
  const PlaceBook::Place first(book);
  std::optional<PlaceBook::Place> second(book);
  const PlaceBook::Place third(book);
  EXPECT_EQ(first.number(), 0u);
  EXPECT_EQ(second->number(), 1u);
  EXPECT_EQ(third.number(), 2u);

  second.reset();

  const PlaceBook::Place next(book);
  const PlaceBook::Place last(book);
  EXPECT_EQ(next.number(), 1u);
  EXPECT_EQ(last.number(), 3u);
}

TEST(PlaceBookTest, APlaceMayOutliveTheBook) {
  std::optional<PlaceBook> book(std::in_place);
  const PlaceBook::Place place(*book);

  book.reset();

  EXPECT_EQ(place.number(), 0u);
}

}  // namespace
}  // namespace rota::serve
