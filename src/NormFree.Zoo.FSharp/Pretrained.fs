namespace NormFree.Zoo

open NormFree.Inference

/// <summary>Adds <c>PackedNetwork.Pretrained</c> in F#, which does not see the extension members of C#.</summary>
[<AutoOpen>]
module Pretrained =

    type PackedNetwork with

        /// <summary>Loads a network of the zoo. Throws ArgumentException, listing all names, if there is none of that name.</summary>
        static member Pretrained(name: string, ?options: PackedOptions) : PackedNetwork =
            ModelZoo.Load(name, Option.toObj options)
