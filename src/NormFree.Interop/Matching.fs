namespace NormFree.Interop

open System
open System.Collections.Generic
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// <summary>Matches the tensors of a file with those of a network.</summary>
/// <remarks>
/// Keys are the published ones. Wrappers and training programs add prefixes such as <c>module.</c> (DataParallel), <c>_orig_mod.</c> (compile) or
/// <c>model.</c> (Lightning): the one prefix that makes most keys match is removed. The original ReActNet repository stores the binary weights of its MobileNet flat, as <c>binary_3x3.weights</c> of (O·I·k·k)×1, in the same order.
/// </remarks>
module internal Matching =

    /// What the network needs: a shape, and floating-point numbers or integers.
    type Wanted = { Shape: int64 list; IsWhole: bool }

    /// The tensors of a file by the network's names, and the report.
    type Plan = { Pairs: (string * ForeignTensor) list; Report: ImportReport }

    /// Modules that wrap others and give them their own names: torch.compile, FSDP and activation checkpointing.
    let private wrappers = set [ "_orig_mod"; "_fsdp_wrapped_module"; "_checkpoint_wrapped_module" ]

    let private dataParallel = "module."

    let private unwrap (key: string) =
        if key.Contains '_' then
            String.Join('.', key.Split '.' |> Array.filter (fun name -> not (wrappers.Contains name)))
        else
            key

    /// The network's name for a key without prefix: `weight` for the flat `weights`.
    let private named (wanted: Map<string, Wanted>) (bare: string) =
        if not (wanted.ContainsKey bare) && bare.EndsWith(".weights", StringComparison.Ordinal) then
            bare.Substring(0, bare.Length - 1)
        else
            bare

    /// The prefixes, each ending with a dot, without which a key is one of the network's.
    let private prefixesOf wanted (key: string) =
        [ for at in 0 .. key.Length - 1 do
              if (at = 0 || key[at - 1] = '.') && Map.containsKey (named wanted (key.Substring at)) wanted then
                  key.Substring(0, at) ]

    let private isAverage (prefix: string) =
        prefix.Split('.', '_')
        |> Array.exists (fun word -> List.contains word [ "ema"; "teacher"; "swa"; "avg" ])

    /// A prefix must give the network at least one in so many of its tensors.
    let private minShare = 4

    /// The one prefix that makes most keys match. Of several the weights themselves are before their average, then the shortest is first.
    let private bestPrefix wanted (keys: string list) =
        match keys |> List.collect (prefixesOf wanted) |> List.countBy id with
        | [] -> ""
        | counts ->
            let prefix, count =
                counts |> List.minBy (fun (prefix, count) -> -count, isAverage prefix, prefix.Length)

            // Blocks of other networks have tensors of the same names, such as `conv1.weight`.
            if minShare * count >= wanted.Count then prefix else ""

    /// The network's name for a key: without the common prefix, and without those of wrappers.
    let rec private translate (wanted: Map<string, Wanted>) (prefix: string) (key: string) =
        if prefix <> "" && key.StartsWith(prefix, StringComparison.Ordinal) then
            named wanted (key.Substring prefix.Length)
        elif key.StartsWith(dataParallel, StringComparison.Ordinal) && not (wanted.ContainsKey key) then
            translate wanted prefix (key.Substring dataParallel.Length)
        else
            named wanted key

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

    /// The longest start of all keys that ends with a dot.
    let private commonPrefix (keys: string list) =
        match keys with
        | [] -> ""
        | first :: others ->
            let isCommon (prefix: string) =
                others |> List.forall (fun key -> key.StartsWith(prefix, StringComparison.Ordinal))

            [ for at in first.Length - 1 .. -1 .. 0 do
                  if first[at] = '.' then
                      first.Substring(0, at + 1) ]
            |> List.tryFind isCommon
            |> Option.defaultValue ""

    /// The prefix that all loaded keys have in the file.
    let private loadedPrefix (pairs: (string * ForeignTensor) list) =
        let prefix (name: string, tensor: ForeignTensor) =
            if tensor.Key.EndsWith(name, StringComparison.Ordinal) then
                Some(tensor.Key.Substring(0, tensor.Key.Length - name.Length))
            else
                None

        match pairs |> List.choose prefix |> List.distinct with
        | [ one ] -> one
        | _ -> ""

    /// <summary>Pairs the tensors of a file with those of a network. A key that occurs with and without a prefix is unexpected the second time.</summary>
    /// <remarks>Tensors outside the common prefix belong to other modules, and are skipped if the network is complete without them.</remarks>
    let plan (network: Network) (file: ForeignFile) : Plan =
        let wanted = wantedBy network
        let keys = [ for tensor in file.Tensors -> unwrap tensor.Key ]
        let prefix = bestPrefix wanted keys
        let named = List.map2 (fun tensor key -> translate wanted prefix key, tensor) file.Tensors keys
        let known, unknown = named |> List.partition (fun (key, _) -> wanted.ContainsKey key)
        let first, again = firsts known
        let misfits = first |> List.choose (fun (key, tensor) -> misfit key wanted[key] tensor)
        let misfitting = misfits |> List.map _.Key |> Set
        let present = first |> List.map fst |> Set
        let pairs = first |> List.filter (fun (key, _) -> not (misfitting.Contains key))

        let counters, missing = absent network present
        let unexpected = [ for _, tensor in unknown @ again -> tensor.Key ]
        let isOutside (key: string) = not ((unwrap key).StartsWith(prefix, StringComparison.Ordinal))

        let outside, unexpected =
            if missing.IsEmpty && misfits.IsEmpty then
                List.partition isOutside unexpected
            else
                [], unexpected

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
              Unexpected = unexpected
              Misshapen = misfits
              Prefix = loadedPrefix pairs
              CommonPrefix =
                if missing.IsEmpty then
                    ""
                else
                    commonPrefix [ for tensor in file.Tensors -> tensor.Key ]
              NonFinite = []
              Content = { file.Content with Skipped = file.Content.Skipped @ outside } } }
