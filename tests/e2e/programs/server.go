// A file server as Go programs have it; a page called index.html is served, not redirected.
package main

import (
	"log"
	"net/http"
	"os"
	"path"
)

func serve(w http.ResponseWriter, r *http.Request) {
	file, err := os.Open("/site" + path.Clean(r.URL.Path))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil || about.IsDir() {
		w.WriteHeader(http.StatusOK)
		return
	}
	http.ServeContent(w, r, about.Name(), about.ModTime(), file)
}

func main() {
	http.HandleFunc("/", serve)
	log.Fatal(http.ListenAndServe(":8000", nil))
}
