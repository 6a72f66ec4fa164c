// Searches the demo for garments like a photo, but with short sleeves: go run . PHOTO
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	lapel "example.com/shop/gen/lapel/v1"
)

func main() {
	photo, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.NewClient("127.0.0.1:7700", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := lapel.NewSearchServiceClient(connection).Search(ctx, &lapel.SearchRequest{
		Query:         &lapel.Query{Source: &lapel.Query_Image{Image: photo}},
		Manipulations: []*lapel.Manipulation{{Attribute: "sleeve_length", Label: "short"}},
		K:             10,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, result := range answer.GetResults() {
		fmt.Println(result.GetItemId(), result.GetDistance(), result.GetMatchesAll())
	}
}
