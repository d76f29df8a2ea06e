package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

type flipCount struct {
	Flipped  int      `json:"flipped"`
	Accepted []string `json:"accepted"`
}

// flipBits flips each bit of a log of 257 to 512 records alone, in memory, and says which ones x/mod accepts.
func flipBits(folder, vkey string) (map[string]*flipCount, error) {
	files, err := readFiles(folder)
	if err != nil {
		return nil, err
	}
	_, tree, err := parseCheckpoint(files["checkpoint"], vkey)
	if err != nil {
		return nil, err
	}
	if tree.N <= 256 || tree.N > 512 {
		return nil, errors.New("the log has another shape than this flips")
	}
	counts := map[string]*flipCount{"checkpoint": {}, "tiles": {}, "entries": {}}
	counts["checkpoint"].flip("checkpoint", files["checkpoint"], func() bool {
		_, _, err := parseCheckpoint(files["checkpoint"], vkey)
		return err == nil
	})
	stored, err := rehash(folder, tree, tlog.TileHashReader(tree, &folderTiles{folder}))
	if err != nil {
		return nil, err
	}
	for _, tile := range tlog.NewTiles(8, 0, tree.N) {
		path := tilePath(strconv.Itoa(tile.L), tile.N, tile.W)
		expected, err := tlog.ReadTileData(tile, stored)
		if err != nil {
			return nil, err
		}
		counts["tiles"].flip(path, files[path], func() bool { return bytes.Equal(files[path], expected) })
	}
	return counts, flipRecords(files, tree, stored, counts["entries"])
}

// flipRecords flips record by record: a bit of one changes nothing of the others, or where they begin, that its own hash would not show.
func flipRecords(files map[string][]byte, tree tlog.Tree, stored storedHashes, count *flipCount) error {
	for bundle := int64(0); bundle < 2; bundle++ {
		path := tilePath("entries", bundle, int(min64(256, tree.N-bundle*256)))
		rest := files[path]
		for index := bundle * 256; len(rest) > 0; index++ {
			proven, err := stored.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
			if err != nil {
				return err
			}
			end := 2 + int(binary.BigEndian.Uint16(rest))
			count.flip(path+" "+strconv.FormatInt(index, 10), rest[:end], func() bool {
				stated := 2 + int(binary.BigEndian.Uint16(rest))
				return stated <= len(rest) && tlog.RecordHash(rest[2:stated]) == proven[0]
			})
			rest = rest[end:]
		}
	}
	return nil
}

func (c *flipCount) flip(name string, data []byte, accepted func() bool) {
	for bit := 0; bit < len(data)*8; bit++ {
		data[bit/8] ^= 1 << (bit % 8)
		if accepted() {
			c.Accepted = append(c.Accepted, name+" "+strconv.Itoa(bit/8)+"."+strconv.Itoa(bit%8))
		}
		data[bit/8] ^= 1 << (bit % 8)
		c.Flipped++
	}
}

func readFiles(folder string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	return files, err
}
