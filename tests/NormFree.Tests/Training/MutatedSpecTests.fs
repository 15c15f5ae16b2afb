/// Specs with changed numbers and names, as from a file that someone edited: they are refused with errors, or they run.
module NormFree.Tests.Training.MutatedSpecTests

open System.Text.Json
open System.Text.Json.Nodes
open Expecto
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Tests.Spec
open TorchSharp

let private numbers =
    [ "0"
      "-1"
      "1"
      "2"
      "3"
      "7"
      "8"
      "64"
      "255"
      "256"
      "65536"
      "65537"
      "2147483647"
      "-2147483648"
      "1e-31"
      "1e31"
      "1e999"
      "0.5"
      "\"NaN\""
      "null" ]

let private texts = [ "\"\""; "\"a b\""; "\"conv1\""; "\"../x\""; "\"\\u0000\""; "null"; "1" ]

/// Every number and text inside a node, with a function that replaces it.
let rec private leaves (node: JsonNode | null) : (((JsonNode | null) -> unit) * JsonValueKind) list =
    let ofChild replace (child: JsonNode | null) =
        match child with
        | :? JsonValue as value -> [ replace, value.GetValueKind() ]
        | child -> leaves child

    match node with
    | :? JsonObject as object ->
        [ for name in [ for KeyValue(name, _) in object -> name ] do
              yield! ofChild (fun value -> object[name] <- value) object[name] ]
    | :? JsonArray as array ->
        [ for i in 0 .. array.Count - 1 do
              yield! ofChild (fun value -> array[i] <- value) array[i] ]
    | _ -> []

/// The JSON of a network with one or two changed values.
let private mutated (stream: RandomStream) (net: NetSpec) =
    let root = nonNull (JsonNode.Parse(Json.write net))
    let all = leaves root

    for _ in 0 .. stream.Below 2 do
        let replace, kind = all[stream.Below all.Length]
        let choices = if kind = JsonValueKind.Number then numbers else texts
        replace (JsonNode.Parse choices[stream.Below choices.Length])

    root.ToJsonString()

/// A network that costs more is not run.
let private maxCost = 5e7

/// Runs one image through a network.
let private runs (net: NetSpec) (total: Cost) =
    if float total.Parameters + float (total.RealMacs + total.MixedMacs + total.BinaryMacs) < maxCost then
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net
        let image = torch.randn [| 1L; 3L; int64 RandomSpecs.side; int64 RandomSpecs.side |]
        Expect.equal (network.Forward(image, Evaluate).shape) [| 1L; int64 net.Classes |] "logits"
        let values = network.Parameters |> List.sumBy (fun (_, tensor) -> tensor.numel ())
        Expect.equal total.Parameters values "parameters"

/// 1 if a mutant is a network, 0 if it is refused.
let private survives seed index =
    let stream = RandomStream.OfKeys(93L, seed, index)
    let text = mutated stream (RandomSpecs.net seed)

    try
        match Json.read<NetSpec> text with
        | Error _ -> 0
        | Ok net ->
            match Summary.create RandomSpecs.side RandomSpecs.side net with
            | Error errors ->
                Expect.isNonEmpty errors "errors"
                0
            | Ok summary ->
                runs net summary.Total
                1
    with e ->
        failtest $"%s{text}: {e}"

let tests =
    testList
        "mutated specs"
        [ for seed in 1L .. 20L do
              test $"mutants of random network {seed} are refused, or they run" {
                  let survivors = [ 1L .. 40L ] |> List.sumBy (survives seed)
                  Expect.isGreaterThan survivors 0 "some run"
                  Expect.isLessThan survivors 40 "some are refused"
              } ]
