namespace NormFree.Packing

open System
open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Runs

/// Compares the structure and the bits of two packed networks.
module internal PackedComparison =

    let private differingBits (a: uint64[]) (b: uint64[]) =
        Array.fold2 (fun sum (x: uint64) y -> sum + int64 (Numerics.BitOperations.PopCount(x ^^^ y))) 0L a b

    /// The number of different binary weights of two layers of the same shape.
    let differingWeights (mine: PackedLayer) (theirs: PackedLayer) =
        match mine, theirs with
        | (:? PackedBinaryLayer as mine), (:? PackedBinaryLayer as theirs) ->
            let projection (layer: PackedBinaryLayer) =
                match layer.Shortcut with
                | :? AveragePoolShortcut as pooled ->
                    match pooled.Projection with
                    | null -> [||]
                    | projection -> projection.Signs
                | _ -> [||]

            differingBits mine.Signs theirs.Signs + differingBits (projection mine) (projection theirs)
        | _ -> 0L

    /// The number of thresholds that differ in any bit, for two layers of the same shape. Values between two thresholds would get another sign.
    let differingThresholds (mine: PackedLayer) (theirs: PackedLayer) =
        match mine, theirs with
        | (:? PackedBinaryLayer as mine), (:? PackedBinaryLayer as theirs) ->
            let differ (a: float32) b = BitConverter.SingleToInt32Bits a <> BitConverter.SingleToInt32Bits b
            Array.fold2 (fun sum a b -> if differ a b then sum + 1L else sum) 0L mine.Threshold theirs.Threshold
        | _ -> 0L

    /// What two layers must share for their results to be comparable.
    let private outline (layer: PackedLayer) =
        match layer with
        | :? PackedConvolution as l -> [ l.In; l.Out; l.Kernel; l.Stride; l.Padding ]
        | :? PackedMaxPool as l -> [ l.Kernel; l.Stride; l.Padding ]
        | :? PackedBinaryLayer as l ->
            let shortcut =
                match l.Shortcut with
                | :? AveragePoolShortcut as pooled -> [ pooled.Kernel; (if isNull pooled.Projection then 0 else 1) ]
                | _ -> []

            [ l.In; l.Out; l.Kernel; l.Stride; l.Padding ] @ shortcut
        | :? PackedClassifier as l -> [ l.In; l.Classes ]
        | _ -> []
        |> fun sizes -> layer.Key, layer.GetType().Name, sizes

    /// The differences that show that a packed network was not made from the other one.
    let differences (mine: PackedModel) (theirs: PackedModel) =
        [ if mine.Architecture <> theirs.Architecture then
              $"it is a {theirs.Architecture}, not a {mine.Architecture}"
          if (mine.Height, mine.Width) <> (theirs.Height, theirs.Width) then
              $"its images are {theirs.Height}×{theirs.Width}, not {mine.Height}×{mine.Width}"
          if mine.Layers.Count <> theirs.Layers.Count then
              $"it has {theirs.Layers.Count} layers, not {mine.Layers.Count}"
          for mine, theirs in Seq.zip mine.Layers theirs.Layers do
              if outline mine <> outline theirs then
                  $"its layer {theirs.Key} has another shape than {mine.Key}"
          if not (Seq.forall2 (=) mine.Classes theirs.Classes) || mine.Classes.Count <> theirs.Classes.Count then
              "its classes have other names"
          if
              Seq.toList mine.Mean <> Seq.toList theirs.Mean
              || Seq.toList mine.Deviation <> Seq.toList theirs.Deviation
          then
              "its images are normalised differently" ]
