// Checks a copy of our access log with the code that checks Go's own checksum database (golang.org/x/mod/sumdb), of which not a line is ours.
//
//	foreign-verifiers log FOLDER VKEY [OLDER-CHECKPOINT]   every record re-hashed against the tree; inclusion; consistency with an older head
//	foreign-verifiers proof FILE LEAF VKEY                 one .tlog-proof
//	foreign-verifiers flips FOLDER VKEY                    each bit of the log flipped alone: which ones are accepted
//
// Prints one line of JSON and exits 0, or says on standard error what does not fit and exits 1.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	var result any
	err := errors.New("usage: foreign-verifiers log FOLDER VKEY [OLDER-CHECKPOINT] | proof FILE LEAF VKEY | flips FOLDER VKEY")
	switch {
	case len(os.Args) >= 4 && len(os.Args) <= 5 && os.Args[1] == "log":
		older := ""
		if len(os.Args) == 5 {
			older = os.Args[4]
		}
		result, err = checkLog(os.Args[2], os.Args[3], older)
	case len(os.Args) == 5 && os.Args[1] == "proof":
		result, err = checkProof(os.Args[2], os.Args[3], os.Args[4])
	case len(os.Args) == 4 && os.Args[1] == "flips":
		result, err = flipBits(os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(result)
}

type checkedLog struct {
	Origin       string `json:"origin"`
	Size         int64  `json:"size"`
	Records      int64  `json:"records"`
	Inclusions   int    `json:"inclusions"`
	Consistent   bool   `json:"consistent"`
	OlderRecords int64  `json:"olderRecords"`
}

func checkLog(folder, vkey, older string) (*checkedLog, error) {
	origin, tree, err := openCheckpoint(filepath.Join(folder, "checkpoint"), vkey)
	if err != nil {
		return nil, err
	}
	hashes := tlog.TileHashReader(tree, &folderTiles{folder})
	records, err := rehash(folder, tree, hashes)
	if err != nil {
		return nil, err
	}
	if err := records.check(tree, &folderTiles{folder}); err != nil {
		return nil, err
	}
	result := &checkedLog{Origin: origin, Size: tree.N, Records: tree.N}
	for _, index := range []int64{0, tree.N / 3, tree.N / 2, tree.N - 1} {
		if err := checkInclusion(index, tree, hashes); err != nil {
			return nil, err
		}
		result.Inclusions++
	}
	if older == "" {
		return result, nil
	}
	_, old, err := openCheckpoint(older, vkey)
	if err != nil {
		return nil, err
	}
	proof, err := tlog.ProveTree(tree.N, old.N, hashes)
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return nil, err
	}
	result.Consistent, result.OlderRecords = true, old.N
	return result, nil
}

// rehash reads every record from the entry bundles, compares its hash with the one that the tiles have, and gives the whole tree that the records make.
func rehash(folder string, tree tlog.Tree, hashes tlog.HashReader) (storedHashes, error) {
	var stored storedHashes
	var index int64
	for bundle := int64(0); bundle*256 < tree.N; bundle++ {
		width := min64(256, tree.N-bundle*256)
		data, err := os.ReadFile(filepath.Join(folder, tilePath("entries", bundle, int(width))))
		if err != nil {
			return nil, err
		}
		for ; width > 0; width-- {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return nil, fmt.Errorf("bundle %d ends inside record %d", bundle, index)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			if err := compare(index, data[2:end], hashes); err != nil {
				return nil, err
			}
			if err := stored.add(index, data[2:end]); err != nil {
				return nil, err
			}
			data = data[end:]
			index++
		}
		if len(data) != 0 {
			return nil, fmt.Errorf("bundle %d goes on after its last record", bundle)
		}
	}
	return stored, nil
}

func compare(index int64, record []byte, hashes tlog.HashReader) error {
	proven, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return err
	}
	if tlog.RecordHash(record) != proven[0] {
		return fmt.Errorf("record %d is not the one in the tree", index)
	}
	return nil
}

func checkInclusion(index int64, tree tlog.Tree, hashes tlog.HashReader) error {
	proof, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return err
	}
	leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf[0])
}

type checkedProof struct {
	Index int64 `json:"index"`
	Size  int64 `json:"size"`
}

// checkProof reads the lines of a c2sp.org/tlog-proof; the arithmetic is tlog.CheckRecord's.
func checkProof(file, leafFile, vkey string) (*checkedProof, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	leaf, err := os.ReadFile(leafFile)
	if err != nil {
		return nil, err
	}
	head, checkpoint, found := bytes.Cut(data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, errors.New("not a tlog-proof")
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return nil, err
	}
	var proof tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		proof = append(proof, hash)
	}
	_, tree, err := parseCheckpoint(checkpoint, vkey)
	if err != nil {
		return nil, err
	}
	return &checkedProof{index, tree.N}, tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf))
}

func openCheckpoint(file, vkey string) (string, tlog.Tree, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	return parseCheckpoint(data, vkey)
}

func parseCheckpoint(data []byte, vkey string) (string, tlog.Tree, error) {
	verifier, err := newVerifier(vkey)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return "", tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return "", tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return lines[0], tlog.Tree{N: size, Hash: root}, err
}

// newVerifier: Ed25519 is x/mod's own; P-256 (note type 0x02) it leaves to others, so Go's crypto/ecdsa stands in for it.
func newVerifier(vkey string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, key, _ := strings.Cut(rest, "+")
	data, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(data) == 0 || data[0] != 2 {
		return note.NewVerifier(vkey)
	}
	parsed, err := x509.ParsePKIXPublicKey(data[1:])
	if err != nil {
		return nil, err
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	id := sha256.Sum256(data[1:])
	if !ok || hash != fmt.Sprintf("%x", id[:4]) {
		return nil, errors.New("not a P-256 verifier key")
	}
	return &p256{name, binary.BigEndian.Uint32(id[:4]), public}, nil
}

type p256 struct {
	name string
	hash uint32
	key  *ecdsa.PublicKey
}

func (v *p256) Name() string    { return v.name }
func (v *p256) KeyHash() uint32 { return v.hash }
func (v *p256) Verify(text, signature []byte) bool {
	digest := sha256.Sum256(text)
	return ecdsa.VerifyASN1(v.key, digest[:], signature)
}

// folderTiles gives x/mod the tiles of a C2SP tlog-tiles folder, whose paths leave out the height (always 8).
type folderTiles struct{ folder string }

func (t *folderTiles) Height() int                          { return 8 }
func (t *folderTiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t *folderTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		read, err := os.ReadFile(filepath.Join(t.folder, tilePath(strconv.Itoa(tile.L), tile.N, tile.W)))
		if err != nil {
			return nil, err
		}
		data[i] = read
	}
	return data, nil
}

func tilePath(level string, n int64, width int) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	path = "tile/" + level + "/" + path
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
