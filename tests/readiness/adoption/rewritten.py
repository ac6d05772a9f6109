"""What families of networks in plain torch are rewritten to."""

REWRITTEN = {
    "WaveNet": "Conv2d Rearrange*2 Window*2 add*2 getitem*4 mul*2 sigmoid*2 split*4",
    "Depthwise": "Conv2d*2 Rearrange*5 Window*8 mul neg relu*2 sub",
    "Made": "Rearrange SiteLinear*2 relu",
    "Uneven": "Rearrange*2 SiteLinear*2 relu",
    "Mixer": "Conv2d*2 SiteSum*2 add*2 div mul rsqrt softmax square",
    "Started": "Conv2d*5 Rearrange*2 SiteAttention SiteLayerNorm*2 add*3 getitem*3 relu split*3",
    "Rotary": "Conv2d*4 Rearrange*10 SiteAttention SiteRMSNorm*2 add*3 getitem*4 mul*4 neg*2 split*4",
    "Rows": "Conv2d Rearrange*3 SiteAttention add*2 getitem*3 mul split*3",
    "Recurrent": "Conv2d*3 Rearrange*2 SequenceRecurrence*2",
    "Long": "Conv2d*3 Rearrange*2 SequenceRecurrence*2",
    "Cells": "Conv2d*10 Rearrange*6 add*20 getitem*27 mul*10 sigmoid*10 split*27 sub*5 tanh*5",
    "Negative": "Conv2d Rearrange*4 SiteAttention",
    "Normed": "Conv2d*3 Rearrange*3 SiteFunction*7 SiteLayerNorm*2 add*4 clamp_min div*2 "
    "getitem*2 mul*4 split*2 sqrt sub*2",
    "Choosing": "Conv2d Rearrange*4 SiteFunction*17 add*3 getitem mul*2 softmax split",
    "Delta": "Conv2d*4 Rearrange*31 SiteFunction*20 SiteSum add*8 div*6 getitem mul softmax split sub*6 tanh",
    "Retained": "Conv2d*2 Rearrange*7 SiteAttention SiteFunction*3 SiteProducts*5 add*6 "
    "clamp_min*3 div*4 getitem*3 mul split*3",
    "Masked": "Conv2d Rearrange*3 SiteProducts*2 add getitem*2 split*2",
    "Pooled": "Conv2d*3 Rearrange*9 SiteFunction Window*5 add*2 mul",
    "Layered": "Conv2d*3 Rearrange*15 SequenceRecurrence*6 add",
    "Running": "Conv2d*3 Rearrange*11 RunningScan*7 Window*8 add*5 sigmoid",
    "Assigned": "Window*2 relu",
    "Turning": "Conv2d Rearrange*11 SiteAttention add*4 mul*11 sub*4",
    "Decoder": "Conv2d*7 Rearrange*3 SiteAttention*2 SiteLayerNorm*3 add*3 getitem*3 relu split*3",
    "Written": "Conv2d*3 Rearrange*7 SiteProducts SiteSum add maximum mul*2",
}
"""What each is rewritten to: no layer that moves sites where none is needed, and none that only computes."""
