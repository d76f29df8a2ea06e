package main

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// storedHashes is a tree that was made from its records alone. TileHashReader of x/mod before v0.43 does not compare every full tile with its
// parent (it starts at the number of subtrees, not of the tiles that they are in), so what it believes is not enough.
type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(s)) {
			return nil, errors.New("the tree has no such hash")
		}
		hashes[i] = s[index]
	}
	return hashes, nil
}

func (s *storedHashes) add(index int64, record []byte) error {
	hashes, err := tlog.StoredHashes(index, record, *s)
	*s = append(*s, hashes...)
	return err
}

// check says whether the records have the signed root, and whether every tile holds what they make.
func (s storedHashes) check(tree tlog.Tree, tiles tlog.TileReader) error {
	root, err := tlog.TreeHash(tree.N, s)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("the records do not have the root of the checkpoint")
	}
	for _, tile := range tlog.NewTiles(tiles.Height(), 0, tree.N) {
		expected, err := tlog.ReadTileData(tile, s)
		if err != nil {
			return err
		}
		data, err := tiles.ReadTiles([]tlog.Tile{tile})
		if err != nil {
			return err
		}
		if !bytes.Equal(data[0], expected) {
			return fmt.Errorf("%s is not the tile of this tree", tile.Path())
		}
	}
	return nil
}
