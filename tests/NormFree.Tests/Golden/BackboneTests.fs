/// Networks of other papers against an independent implementation.
module NormFree.Tests.Golden.BackboneTests

open Expecto
open NormFree.Spec
open NormFree.Tests.Golden

let private sign entry =
    match GoldenFiles.text "sign" entry with
    | "approx" -> SignGradient.ApproxSign
    | "ste" -> SignGradient.StraightThrough 1.0
    | "sigmoid" -> SignGradient.SigmoidDerivative 3.0
    | other -> failwith $"Unknown gradient {other}."

/// The table of an entry, with its channels.
let private table entry stem =
    let width = GoldenFiles.integer "width" entry
    let scaled full = { Width = float width / float full; Depth = 1.0 }

    match GoldenFiles.text "arch" entry with
    | "bireal-18" -> BiRealNet.biReal18 (scaled 64) stem
    | "bireal-34" -> BiRealNet.biReal34 (scaled 64) stem
    | "vgg-small" -> VggSmall.vggSmall (scaled 128) stem
    | "binary-densenet-28" ->
        let growth = GoldenFiles.integer "growth" entry
        BinaryDenseNet.table "binary-densenet-28" width growth [ 6; 6; 6; 5 ] [ 2.7; 2.7; 2.2 ] stem
    | other -> failwith $"Unknown architecture {other}."

let private spec entry = GoldenFiles.withChoices table entry |> Net.withSign (sign entry)

let private parameters entry (net: NetSpec) =
    test $"{ModelTests.title entry}: names and shapes of the parameters" {
        let expected = (GoldenFiles.get "parameters" entry).AsObject()

        let found =
            [ for parameter in Parameters.ofGraph (Lowering.lower net) -> parameter.Key, List.map int64 parameter.Shape ]

        Expect.equal
            (Map found)
            (Map [ for KeyValue(key, _) in expected -> key, List.ofArray (GoldenFiles.integers key expected) ])
            "parameters"
    }

/// The golden values themselves are not reproducible where rounding decides: the implementation that made them gives others on another processor.
let private agrees entry net =
    test $"{ModelTests.title entry}: logits, loss and gradients" {
        try
            ModelTests.compare entry net
        with :? AssertException when ModelTests.isDecidedByRounding entry net ->
            ()
    }

/// Bi-Real Net has shortcuts, and batch norms shift every sum; stage 1 has real filters.
let private isRobust (net: NetSpec) =
    net.Name.StartsWith "bireal" || (net.Norm = BatchNorm && net.Binarise = Activations)

let private robust =
    test "rounding decides nothing in Bi-Real Net, and nothing with batch norm and real filters" {
        for entry in GoldenFiles.backbones.Value do
            let net = spec entry

            if isRobust net then
                Expect.isFalse (ModelTests.isDecidedByRounding entry net) (ModelTests.title entry)
    }

let tests =
    testList
        "backbones"
        [ for entry in GoldenFiles.backbones.Value do
              let net = spec entry
              parameters entry net
              agrees entry net
          robust ]
