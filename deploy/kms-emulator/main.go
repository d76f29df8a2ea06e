// A KMS for the tests: github.com/nsmithuk/local-kms on loopback, at a free port that the first line of standard output names. It ends
// when its standard input does. Keys live in the folder that is its one argument.
//
// Around it, three things that the API reference of AWS KMS promises and local-kms does not keep:
//   - one request after the other, so that of two CreateAlias for one name one is refused
//   - Decrypt and ReEncrypt check that the ciphertext names the key that was asked for (IncorrectKeyException)
//   - a ciphertext cut so short that local-kms panics is InvalidCiphertextException
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/nsmithuk/local-kms/src"
	"github.com/nsmithuk/local-kms/src/config"
	"github.com/nsmithuk/local-kms/src/data"
	"github.com/nsmithuk/local-kms/src/service"
)

var database *data.Database
var one sync.Mutex

func main() {
	config.AWSAccountId = "111122223333"
	config.AWSRegion = "eu-west-2"
	config.DatabasePath = os.Args[1]
	database = data.NewDatabase(config.DatabasePath)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().String())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	panic(http.Serve(listener, http.HandlerFunc(answer)))
}

func answer(w http.ResponseWriter, r *http.Request) {
	one.Lock()
	defer one.Unlock()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	w.Header().Set("x-amzn-RequestId", fmt.Sprintf("local-%d", count()))
	if operation == "Decrypt" || operation == "ReEncrypt" {
		defer func() {
			if recover() != nil {
				refuse(w, "InvalidCiphertextException")
			}
		}()
		if !rightKey(body) {
			refuse(w, "IncorrectKeyException")
			return
		}
	}
	src.HandleRequest(w, r, database)
}

var requests int

func count() int {
	requests++
	return requests
}

// Whether the ciphertext names the key that the request does.
func rightKey(body []byte) bool {
	var asked struct {
		KeyId, SourceKeyId string
		CiphertextBlob     []byte
	}
	if json.Unmarshal(body, &asked) != nil {
		return true
	}
	key := asked.KeyId + asked.SourceKeyId
	if strings.HasPrefix(key, "alias/") {
		if alias, err := database.LoadAlias(config.EnsureArn("", key)); err == nil {
			key = alias.TargetKeyId
		}
	}
	arn, _, _, ok := service.UnpackCiphertextBlob(asked.CiphertextBlob)
	if !ok {
		panic("not a ciphertext")
	}
	return key == "" || arn == config.EnsureArn("key/", key)
}

func refuse(w http.ResponseWriter, kind string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(400)
	fmt.Fprintf(w, `{"__type":%q}`, kind)
}
