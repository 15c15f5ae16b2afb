/// Fusion finds the binary layers of a graph.
module NormFree.Tests.Spec.FusionTests

open Expecto
open NormFree.Spec

let private networks =
    [ for name, table in Architecture.all do
          for stem in [ CifarStem; ImageNetStem ] do
              for norm in [ BatchNorm; NoNorm; BnFree 0.2 ] do
                  for binarise in [ Activations; ActivationsAndWeights ] do
                      let net =
                          table Size.Full stem
                          |> Net.withNorm norm
                          |> Net.withBinarise binarise
                          |> Net.withBinaryGain BinaryGain.VariancePreserving

                      $"{name}, {stem}, {Names.norm norm}, {Names.binarise binarise}", net

      for weights in [ ShortcutWeights.ZeroMean; ShortcutWeights.Real ] do
          $"reactnet-18, {Names.shortcutWeights weights} shortcuts",
          ReActNet.cifar18 |> Net.withBinarise ActivationsAndWeights |> Net.withShortcutWeights weights ]

let private scale factor =
    [ if factor <> 1.0 then
          Scale factor ]

/// A part's operations in the graph's order: the branch, then the shortcut.
let private expand part =
    match part with
    | Plain graph -> Graph.operations graph
    | Layer layer ->
        [ yield! scale layer.Convolution.Beta
          for conv, norm in layer.Convolution.Convolutions do
              // Shift and sign occur once, before the first convolution.
              if conv.Key = (fst layer.Convolution.Convolutions.Head).Key then
                  yield Shift(layer.Convolution.Shift, conv.In)
                  yield Sign

              yield Convolve conv
              yield! norm |> Option.map (fun key -> Normalise(key, conv.Out)) |> Option.toList
          yield! scale layer.Convolution.Alpha
          match layer.Shortcut with
          | RepeatedInput -> ()
          | Computed graph -> yield! Graph.operations graph
          yield RPReLU layer.Activation ]

let private layers parts =
    parts
    |> List.choose (function
        | Layer layer -> Some layer
        | Plain _ -> None)

let private architectures =
    [ for name, net in networks do
          test $"{name}: the parts contain all operations of the graph in order" {
              let graph = Lowering.lower net

              Expect.sequenceEqual
                  (Fusion.parts graph |> List.collect expand)
                  (Graph.operations graph)
                  "the whole graph"

              for name, part in Lowering.parts net do
                  Expect.sequenceEqual (Fusion.parts part |> List.collect expand) (Graph.operations part) name
          }

          test $"{name}: every binary layer and its shortcut are found" {
              let parts = Fusion.parts (Lowering.lower net)

              match Net.binaryBody net with
              | None ->
                  Expect.hasLength parts 1 "one plain part"
                  Expect.isEmpty (layers parts) "layers"
              | Some body ->
                  let found = layers parts
                  // The stem, the layers and the head.
                  Expect.hasLength parts (body.Layers.Length + 2) "parts"
                  Expect.hasLength found body.Layers.Length "layers"

                  for layer, fused in List.zip body.Layers found do
                      let convolutions = fused.Convolution.Convolutions |> List.map fst

                      Expect.equal
                          [ for conv in convolutions -> conv.Key ]
                          [ for name in layer.Names.Convolutions -> $"{layer.Key}.{name}" ]
                          "convolutions"

                      Expect.equal (convolutions |> List.sumBy _.Out) layer.Out $"{layer.Key}: channels"

                      match layer.Shortcut, fused.Shortcut with
                      | (Identity | Duplicate), RepeatedInput
                      | (Pool | PoolProject), Computed _ -> ()
                      | expected, actual -> failtest $"{layer.Key}: {expected} became {actual}"
          } ]

let private convolution key =
    { Key = key
      In = 8
      Out = 8
      Kernel = 3
      Stride = 1
      Padding = 1
      Standardised = false
      Input = OneBit
      Weight = Real
      Factor = 1.0 }

let private prelu = { ShiftIn = "in"; Slope = "slope"; ShiftOut = "out"; Channels = 8 }
let private shift, sign = Op(Shift("b", 8)), Op Sign
let private convolve key = Chain [ Op(Convolve(convolution key)) ]
let private normalised key = Chain [ Op(Convolve(convolution key)); Op(Normalise("n", 8)) ]
let private layer branch shortcut = Chain [ Residual(Chain branch, shortcut); Op(RPReLU prelu) ]

let private graphs =
    [ for what, graph, isLayer in
          [ "a layer without β and α", layer [ shift; sign; convolve "w" ] (Chain []), true
            "a layer with both", layer [ Op(Scale 0.5); shift; sign; convolve "w"; Op(Scale 0.2) ] (Chain []), true
            "a layer with a norm", layer [ shift; sign; normalised "w" ] (Chain []), true
            "a computed shortcut", layer [ shift; sign; convolve "w" ] (Chain [ Op(AveragePool 2) ]), true
            "α after a norm", layer [ shift; sign; normalised "w"; Op(Scale 0.2) ] (Chain []), false
            "no shift", layer [ sign; convolve "w" ] (Chain []), false
            "no sign", layer [ shift; convolve "w" ] (Chain []), false
            "sign before shift", layer [ sign; shift; convolve "w" ] (Chain []), false
            "an operation after α", layer [ shift; sign; convolve "w"; Op(Scale 0.2); Op ReLU ] (Chain []), false
            "two convolutions in a row", layer [ shift; sign; Chain [ convolve "v"; convolve "w" ] ] (Chain []), false
            "no activation", Chain [ Residual(Chain [ shift; sign; convolve "w" ], Chain []) ], false
            "another activation", Chain [ Residual(Chain [ shift; sign; convolve "w" ], Chain []); Op ReLU ], false
            "parallel convolutions",
            layer [ shift; sign; Parallel [ convolve "v"; convolve "w" ] ] (Parallel [ Chain []; Chain [] ]),
            true
            "parallel convolutions of different strides",
            layer
                [ shift
                  sign
                  Parallel [ convolve "v"; Chain [ Op(Convolve { convolution "w" with Stride = 2 }) ] ] ]
                (Parallel [ Chain []; Chain [] ]),
            false
            "parallel convolutions with real and binary weights",
            layer
                [ shift
                  sign
                  Parallel [ convolve "v"; Chain [ Op(Convolve { convolution "w" with Weight = OneBit }) ] ] ]
                (Parallel [ Chain []; Chain [] ]),
            false
            "parallel convolutions of which one has a norm",
            layer [ shift; sign; Parallel [ convolve "v"; normalised "w" ] ] (Parallel [ Chain []; Chain [] ]),
            true ] do
          let verdict = if isLayer then "becomes a layer" else "stays plain"

          test $"{what} {verdict}" {
              let parts = Fusion.parts graph
              Expect.equal (layers parts).Length (if isLayer then 1 else 0) "layers"
              Expect.sequenceEqual (List.collect expand parts) (Graph.operations graph) "operations"

              if not isLayer then
                  // An enclosing chain of one part does not matter.
                  Expect.contains [ [ Plain graph ]; [ Plain(Chain [ graph ]) ] ] parts "the graph itself"
          }

      test "adjacent plain parts are merged in order" {
          let found = layer [ shift; sign; convolve "w" ] (Chain [])

          let parts =
              Fusion.parts (Chain [ Op ReLU; Chain [ Op Sign; Chain [] ]; found; found; Op ReLU; Op Sign ])

          match parts with
          | [ Plain before; Layer _; Layer _; Plain after ] ->
              Expect.equal (Graph.operations before) [ ReLU; Sign ] "before"
              Expect.equal (Graph.operations after) [ ReLU; Sign ] "after"
          | other -> failtest $"{other}"
      }

      test "an empty graph has no operations" {
          Expect.isEmpty (Fusion.parts (Chain []) |> List.collect expand) "operations"
      } ]

let tests = testList "fusion" [ testList "networks" architectures; testList "graphs" graphs ]
