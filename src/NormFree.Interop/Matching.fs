namespace NormFree.Interop

open System
open System.Collections.Generic
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// <summary>Matches the tensors of a file with those of a network.</summary>
/// <remarks>
/// Keys are the published ones. PyTorch's wrappers add the prefixes <c>module.</c> (DataParallel) or <c>_orig_mod.</c> (compile). The original
/// ReActNet repository stores the binary weights of its MobileNet flat, as <c>binary_3x3.weights</c> of (O·I·k·k)×1, in the same order.
/// </remarks>
module internal Matching =

    /// What the network needs: a shape, and floating-point numbers or integers.
    type Wanted = { Shape: int64 list; IsWhole: bool }

    /// The tensors of a file by the network's names, and the report.
    type Plan = { Pairs: (string * ForeignTensor) list; Report: ImportReport }

    let private wrappers = [ "module."; "_orig_mod." ]

    let rec private unwrap (key: string) =
        match wrappers |> List.tryFind (fun prefix -> key.StartsWith(prefix, StringComparison.Ordinal)) with
        | Some prefix -> unwrap (key.Substring prefix.Length)
        | None -> key

    /// The network's name for a key: without prefixes, and `weight` for the flat `weights`.
    let private translate (wanted: Map<string, Wanted>) (key: string) =
        let bare = unwrap key

        if not (wanted.ContainsKey bare) && bare.EndsWith(".weights", StringComparison.Ordinal) then
            bare.Substring(0, bare.Length - 1)
        else
            bare

    let private wholes = [ DType.I64; DType.I32; DType.I16; DType.I8; DType.U8 ]
    let private reals = [ DType.F64; DType.F32; DType.F16; DType.BF16 ]

    let private describe (shape: int64 list) (kind: string) =
        let sides = String.Join(", ", shape)
        $"[{sides}] of {kind}"

    /// A flat weight has the same number of elements.
    let private fitsShape (key: string) (wanted: Wanted) (tensor: ForeignTensor) =
        let count = List.fold (*) 1L wanted.Shape
        let flat = [ [ count; 1L ]; [ count ] ]

        tensor.Shape = wanted.Shape
        || (tensor.Key.EndsWith(".weights", StringComparison.Ordinal)
            && not (key.EndsWith(".weights", StringComparison.Ordinal))
            && List.contains tensor.Shape flat)

    let private misfit key (wanted: Wanted) (tensor: ForeignTensor) =
        let types = if wanted.IsWhole then wholes else reals

        if fitsShape key wanted tensor && List.contains tensor.DType types then
            None
        else
            Some
                { Key = key
                  Found = describe tensor.Shape (tensor.DType.Name())
                  Wanted = describe wanted.Shape (if wanted.IsWhole then "whole numbers" else "real numbers") }

    let private wantedBy (network: Network) =
        Map
            [ for key, tensor in network.Tensors ->
                  key, { Shape = List.ofArray tensor.shape; IsWhole = (tensor.dtype = torch.ScalarType.Int64) } ]

    /// The first tensor of each name, and the duplicates.
    let private firsts (named: (string * ForeignTensor) list) =
        let seen = HashSet<string>()
        named |> List.partition (fun (key, _) -> seen.Add key)

    /// Absent keys: batch counters of a file that has none, which PyTorch accepts too, and all others.
    let private absent (network: Network) (present: Set<string>) =
        let counter = ".num_batches_tracked"
        let isCounter (key: string) = key.EndsWith(counter, StringComparison.Ordinal)
        let knowsCounters = Set.exists isCounter present

        [ for key, _ in network.Tensors do
              if not (present.Contains key) then
                  key ]
        |> List.partition (fun key ->
            isCounter key
            && not knowsCounters
            && present.Contains(key.Substring(0, key.Length - counter.Length) + ".running_mean"))

    /// <summary>Pairs the tensors of a file with those of a network. A key that occurs with and without a prefix is unexpected the second time.</summary>
    let plan (network: Network) (file: ForeignFile) : Plan =
        let wanted = wantedBy network
        let named = [ for tensor in file.Tensors -> translate wanted tensor.Key, tensor ]
        let known, unknown = named |> List.partition (fun (key, _) -> wanted.ContainsKey key)
        let first, again = firsts known
        let misfits = first |> List.choose (fun (key, tensor) -> misfit key wanted[key] tensor)
        let misfitting = misfits |> List.map _.Key |> Set
        let present = first |> List.map fst |> Set
        let pairs = first |> List.filter (fun (key, _) -> not (misfitting.Contains key))

        let counters, missing = absent network present

        { Pairs = pairs
          Report =
            { File = file.Path
              Network = network.Spec.Name
              Loaded = pairs.Length
              Renamed =
                [ for key, tensor in pairs do
                      if key <> tensor.Key then
                          tensor.Key, key ]
              Counters = counters.Length
              Missing = missing
              Unexpected = [ for _, tensor in unknown @ again -> tensor.Key ] @ file.Others
              Misshapen = misfits } }
