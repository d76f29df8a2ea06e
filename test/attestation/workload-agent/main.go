// An agent of the SPIFFE Workload API for tests: the published service definition over grpc-go, an authority of its own, one identity.
//
//	workload-agent SOCKET SPIFFE-ID
//
// Prints one line of JSON when it listens: the authority (DER, base64) and the key of its tokens (JWK). Ends when its standard input does.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	id                 string
	chain, key, bundle []byte
	tokenKey           *ecdsa.PrivateKey
	tokens             int
}

func main() {
	socket, id := os.Args[1], os.Args[2]
	root, rootKey := certify(nil, nil, nil, true)
	middle, middleKey := certify(root, rootKey, nil, true)
	uri, err := url.Parse(id)
	check(err)
	leaf, leafKey := certify(middle, middleKey, uri, false)
	key, err := x509.MarshalPKCS8PrivateKey(leafKey)
	check(err)
	tokenKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	listener, err := net.Listen("unix", socket)
	check(err)
	server := grpc.NewServer()
	chain := append(append([]byte{}, leaf.Raw...), middle.Raw...)
	workload.RegisterSpiffeWorkloadAPIServer(server, &agent{id: id, chain: chain, key: key, bundle: root.Raw, tokenKey: tokenKey})
	coordinate := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
	jwk := map[string]string{"kty": "EC", "crv": "P-256", "kid": "agent", "x": coordinate(tokenKey.X), "y": coordinate(tokenKey.Y)}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{"authority": root.Raw, "jwk": jwk}))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	check(server.Serve(listener))
}

// secured refuses whoever does not send the header of the Workload Endpoint, section 6.1.
func secured(ctx context.Context) error {
	headers, _ := metadata.FromIncomingContext(ctx)
	if values := headers.Get("workload.spiffe.io"); len(values) != 1 || values[0] != "true" {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	return nil
}

func (a *agent) FetchX509SVID(_ *workload.X509SVIDRequest, stream workload.SpiffeWorkloadAPI_FetchX509SVIDServer) error {
	if err := secured(stream.Context()); err != nil {
		return err
	}
	svid := &workload.X509SVID{SpiffeId: a.id, X509Svid: a.chain, X509SvidKey: a.key, Bundle: a.bundle}
	if err := stream.Send(&workload.X509SVIDResponse{Svids: []*workload.X509SVID{svid}}); err != nil {
		return err
	}
	<-stream.Context().Done() // until the caller goes: a rotation would be another message
	return nil
}

func (a *agent) FetchJWTSVID(ctx context.Context, request *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	if err := secured(ctx); err != nil {
		return nil, err
	}
	if request.Audience[0] == "nobody" {
		return nil, status.Error(codes.PermissionDenied, "no identity issued")
	}
	a.tokens++
	header, err := json.Marshal(map[string]string{"alg": "ES256", "kid": "agent", "typ": "JWT"})
	check(err)
	expires := time.Now().Add(5 * time.Minute).Unix()
	claims, err := json.Marshal(map[string]any{"sub": a.id, "aud": request.Audience, "exp": expires, "jti": fmt.Sprint(a.tokens)})
	check(err)
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, a.tokenKey, digest[:])
	check(err)
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	token := input + "." + base64.RawURLEncoding.EncodeToString(signature)
	return &workload.JWTSVIDResponse{Svids: []*workload.JWTSVID{{SpiffeId: a.id, Svid: token}}}, nil
}

func certify(issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey, id *url.URL, authority bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	check(err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"SPIFFE"}, CommonName: serial.String()},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: authority, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if authority {
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if id != nil {
		template.URIs = []*url.URL{id}
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	check(err)
	certificate, err := x509.ParseCertificate(der)
	check(err)
	return certificate, key
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
