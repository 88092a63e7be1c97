// A server of one page, as net/http makes it.
package main

import (
	"log"
	"net/http"
)

func main() {
	page := make([]byte, 612)
	for i := range page {
		page[i] = 'x'
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	log.Fatal(http.ListenAndServe(":8000", nil))
}
